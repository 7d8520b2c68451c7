/** @file adapters/merged/*.safetensors: single weights after an adapter was added, for the runs that name them. */

import path from "node:path";
import { loadComponents } from "../src/pipeline/components.js";
import { changedWeights } from "../src/pipeline/weight-changes.js";
import { viewStored } from "../src/weights/dtype.js";
import { type Check, type Computed, type Context, type Section, tensorData } from "./conformance/check.js";
import { namesIn, openGolden, readGoldenJson } from "./conformance/golden-file.js";
import { mergedWeight } from "./conformance/tolerances.js";
import { type Run, runSchema } from "./runs/request.js";

/** How other tools would merge, for comparison. */
const isOther = (name: string) => /\.as_(comfyui|peft)$/.test(name);

export const adapters: Section = async (context) => {
  const runs = path.join(context.folder, "runs");
  const rows: Check[] = [];
  for (const pipeline of await namesIn(runs)) {
    const names = (await namesIn(path.join(runs, pipeline))).filter((name) =>
      /^adapter-.*\.json$/.test(name),
    );
    for (const name of names) {
      const run = runSchema.parse(await readGoldenJson(path.join(runs, pipeline, name)));
      if (run.adapter?.merged !== undefined) rows.push(await checkOf(run, run.adapter.merged, context));
    }
  }
  return rows;
};

async function checkOf(run: Run, merged: string, context: Context): Promise<Check> {
  const file = await openGolden(await context.layers.locate(merged), () => false);
  const names = file.names.filter((name) => !isOther(name));
  return {
    name: path.basename(merged, ".safetensors"),
    compute: () => mergedWeights(run, names, context),
    expected: async () =>
      new Map(
        await Promise.all(
          names.map(
            async (name) => [name, { tolerance: mergedWeight, numbers: await file.expected(name) }] as const,
          ),
        ),
      ),
  };
}

/** Of `names`, which begin with the network's. */
async function mergedWeights(
  { folder, adapter }: Run,
  names: readonly string[],
  { layers, engine }: Context,
): Promise<Computed> {
  const loras = [{ file: await layers.locate(adapter!.file), scale: adapter!.weight }];
  const { unet, textEncoders } = await loadComponents(await layers.complete(folder), { engine, loras });
  const all = new Map<string, ReturnType<typeof tensorData>>();
  for (const { name, weights, changes } of [unet, ...textEncoders].map(({ component }) => component)) {
    const own = names.filter((one) => one.startsWith(`${name}.`)).map((one) => one.slice(name.length + 1));
    if (own.length === 0) continue;
    const held = await changedWeights(weights, changes, engine);
    for (const path of own) {
      const { dtype, data } = held.get(path) ?? {};
      if (dtype === "F32")
        all.set(
          `${name}.${path}`,
          tensorData(viewStored(data!, dtype) as Float32Array, ...weights.tensors.get(path)!.shape),
        );
    }
  }
  return all;
}
