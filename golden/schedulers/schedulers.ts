/** @file schedulers and edm-schedulers, .json and .safetensors: betas, tables of timesteps and sigmas, trajectories, noising. */

import path from "node:path";
import type { Check, Context } from "../conformance/check.js";
import { bothOrNeither, openGolden, readGoldenJson } from "../conformance/golden-file.js";
import { addedNoise } from "../conformance/tolerances.js";
import { byClass } from "./by-class.js";
import { schema } from "./schema.js";
import { betaCheck, expectedTable, table } from "./tables.js";
import { addedNoiseValues, expectedTrajectory, trajectory, velocityCheck } from "./trajectory.js";

const isInput = (name: string) => ["noise", "clean", "model_outputs"].includes(name);

/** Rows: the betas; per class of scheduler its tables, its trajectories and its noising; velocities. */
export async function schedulers({ folder }: Pick<Context, "folder">): Promise<Check[]> {
  return [...(await checksOf(folder, "schedulers")), ...(await checksOf(folder, "edm-schedulers"))];
}

async function checksOf(folder: string, stem: string): Promise<Check[]> {
  const [json, tensors] = [`${stem}.json`, `${stem}.safetensors`] as const;
  if (!(await bothOrNeither(folder, json, tensors))) return [];
  const golden = schema.parse(await readGoldenJson(path.join(folder, json)));
  const file = await openGolden(path.join(folder, tensors), isInput);
  const { betas, tables, trajectories, add_noise: noising } = golden;
  const named = tables.map((table, i) => ({ ...table, id: `table ${i}` }));
  const ids = [...trajectories, ...noising].map(({ id }) => id);
  const claimed = (name: string) => ids.some((id) => name === id || name.startsWith(`${id}.`));
  const rest = file.names.filter((name) => !isInput(name) && !claimed(name));
  return [
    ...(betas.length > 0 ? [betaCheck(betas)] : []),
    ...byClass("tables", named, table, async (t) => expectedTable(t)),
    ...byClass(
      "trajectories",
      trajectories,
      (t) => trajectory(t, file),
      (t) => expectedTrajectory(t, file),
    ),
    ...byClass(
      "add_noise",
      noising,
      (n) => addedNoiseValues(n, file),
      async ({ id }) => [["", { tolerance: addedNoise, numbers: await file.expected(id) }]],
    ),
    ...(rest.length > 0 ? [velocityCheck(rest, named[0]?.config ?? {}, file)] : []),
  ];
}
