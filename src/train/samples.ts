/** @file Validation images: the same prompts and seeds, generated from the run's model folder as it stands. */

import path from "node:path";
import type { Engine } from "../engine/engine.js";
import { makeFolder, writeWhole } from "../files/file-system.js";
import { DiffusionPipeline } from "../pipeline/pipeline.js";

/** Generates each prompt into `samples/step-NNNNNN/` of the run's folder. */
export async function generateSamples(
  folder: string,
  step: number,
  prompts: readonly string[],
  engine: Engine,
): Promise<void> {
  const at = path.join(folder, "samples", `step-${String(step).padStart(6, "0")}`);
  await makeFolder(at);
  const pipeline = await DiffusionPipeline.fromPretrained(folder, { engine });
  const rows: { prompt: string; seed: number; file: string }[] = [];
  try {
    for (const [seed, prompt] of prompts.entries()) {
      const { images } = await pipeline.generate({ prompt, seed });
      const file = `${seed}.png`;
      await images[0]!.save(path.join(at, file));
      rows.push({ prompt, seed, file });
    }
  } finally {
    await pipeline.close();
  }
  await writeWhole(path.join(at, "prompts.json"), `${JSON.stringify(rows, undefined, 2)}\n`);
}
