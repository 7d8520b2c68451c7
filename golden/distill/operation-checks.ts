/** @file ops.json and .safetensors: every operation and its gradients, lowered as training lowers them. */

import { z } from "zod";
import type { Values } from "../../src/engine/engine.js";
import { lower } from "../../src/engine/lower.js";
import { trainingDevice } from "../../src/train/gradient-program.js";
import type { Check, Computed } from "../conformance/check.js";
import type { GoldenFile } from "../conformance/golden-file.js";
import { type DistillFolder, json, tensorExpectations, tensorsOf } from "./folder.js";
import { type Case, traceCase } from "./operations.js";
import { operationTolerance } from "./tolerances.js";

const schema = z.object({
  cases: z.array(
    z.looseObject({
      id: z.string(),
      op: z.string(),
      attributes: z.looseObject({}),
      inputs: z.record(z.string(), z.array(z.int())),
      output: z.array(z.int()),
      gradients: z.array(z.string()),
      floors: z.record(z.string(), z.looseObject({ rel: z.number() })),
    }),
  ),
});
type Tabled = z.infer<typeof schema>["cases"][number];

/** A row per operation. */
export async function operationChecks(set: DistillFolder): Promise<Check[]> {
  if (!set.names.includes("ops.json")) return [];
  const { cases } = schema.parse(await json(set, "ops.json"));
  const isInput = (name: string) => !/\/(out|d_[^/]+)$/.test(name);
  const file = await tensorsOf(set, "ops.safetensors", { owner: "ops.json", isInput });
  return [...new Set(cases.map((c) => c.op))].map((op) => {
    const mine = cases.filter((c) => c.op === op);
    const names = mine.flatMap((c) => [`${c.id}/out`, ...c.gradients.map((name) => `${c.id}/d_${name}`)]);
    const floors = new Map(
      mine.map((c) => [c.id, Math.max(...Object.values(c.floors).map(({ rel }) => rel))]),
    );
    return {
      name: `ops/${op}`,
      compute: () => computed(op, mine, file, set),
      expected: async () =>
        new Map(
          await tensorExpectations(file, names, (name) =>
            operationTolerance(op, floors.get(name.split("/")[0]!) ?? 0),
          ),
        ),
    };
  });
}

/** All cases of an operation in one program. */
async function computed(
  op: string,
  cases: readonly Tabled[],
  file: GoldenFile,
  { context: { engine } }: DistillFolder,
): Promise<Computed> {
  const inputs: Record<string, Values> = {};
  const outputs = {};
  for (const c of cases) {
    for (const name of [...Object.keys(c.inputs), "dout"]) {
      const { data, shape } = await file.input(`${c.id}/${name}`);
      const kept = data instanceof Float32Array || data instanceof BigInt64Array;
      // A condition is stored as bytes.
      inputs[`${c.id}/${name}`] = { data: kept ? data : Float32Array.from(data as Uint8Array), shape };
    }
    const isFloat = (name: string) => inputs[`${c.id}/${name}`]!.data instanceof Float32Array;
    Object.assign(outputs, traceCase(c as unknown as Case, isFloat));
  }
  const session = await engine.load(lower(op, outputs, { device: trainingDevice(engine.device) }));
  const results = await session.run(inputs);
  await session.release();
  return new Map(Object.keys(outputs).map((name) => [name, results[name]!]));
}
