/** @file Validation images: generated with the same prompts and seeds from the model that a run has saved last. */

import path from "node:path";
import type { Engine } from "../engine/engine.js";
import { makeFolder } from "../files/file-system.js";
import { type SamplePrompts, sampleFolder, writePrompts } from "../monitor/samples.js";
import { DiffusionPipeline } from "../pipeline/pipeline.js";

/** Generates an image of each prompt, the seeds being 0, 1, 2 and so on. `folder` is the run's. */
export async function generateSamples(
  folder: string,
  step: number,
  prompts: readonly string[],
  engine: Engine,
): Promise<void> {
  const at = sampleFolder(folder, step);
  await makeFolder(at);
  const pipeline = await DiffusionPipeline.fromPretrained(folder, { engine });
  const rows: SamplePrompts = [];
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
  await writePrompts(at, rows);
}
