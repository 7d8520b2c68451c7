/** @file Validation images: generated with the same prompts and seeds from the model that a run has saved last. */

import path from "node:path";
import type { Engine } from "../engine/engine.js";
import { makeFolder } from "../files/file-system.js";
import { type SamplePrompts, sampleFolder, writePrompts } from "../monitor/samples.js";
import { DiffusionPipeline } from "../pipeline/pipeline.js";
import { loraFileName } from "./lora/export.js";

/**
 * Generates an image of each prompt, the seeds being 0, 1, 2 and so on. `folder` is the run's; where it holds a LoRA, `base`
 * is the model that it changes.
 */
export async function generateSamples(
  folder: string,
  step: number,
  prompts: readonly string[],
  { engine, base }: { engine: Engine; base?: string },
): Promise<void> {
  const at = sampleFolder(folder, step);
  await makeFolder(at);
  const loras = base === undefined ? [] : [{ file: path.join(folder, loraFileName) }];
  const pipeline = await DiffusionPipeline.fromPretrained(base ?? folder, { engine, loras });
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
