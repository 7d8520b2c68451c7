/** @file Generates many images of a model, and puts them on one sheet. */

import sharp from "sharp";
import type { RgbImage } from "../src/image/pixels.js";
import { DiffusionPipeline } from "../src/index.js";
import { requestDefaults } from "../src/pipeline/model-defaults.js";

export type Sampling = { steps: number; guidanceScale: number };

/** Opens a model to generate with its defaults, or with the settings given. */
export async function openModel(folder: string, given: Partial<Sampling> = {}) {
  const pipeline = await DiffusionPipeline.fromPretrained(folder);
  const { numInferenceSteps, guidanceScale } = requestDefaults(pipeline.components, "textToImage");
  const sampling = { steps: numInferenceSteps, guidanceScale, ...given };
  const generate = async (prompts: readonly string[], seed: number): Promise<RgbImage[]> => {
    const { images } = await pipeline.generate({
      prompt: prompts,
      seed,
      height: 128,
      width: 128,
      numInferenceSteps: sampling.steps,
      guidanceScale: sampling.guidanceScale,
      onWarning: () => {},
    });
    return [...images];
  };
  return { generate, sampling, close: () => pipeline.close() };
}

/** Generates all prompts onto one sheet, `columns` a row, the seed being the prompt's number. */
export async function writeSheet(
  folder: string,
  prompts: readonly string[],
  file: string,
  columns = 8,
): Promise<void> {
  await writeImages(await generateAll(folder, prompts, columns), columns, file);
}

/** Generates an image of each prompt, the seed being its number, in batches of `atOnce`. */
export async function generateAll(
  folder: string,
  prompts: readonly string[],
  atOnce: number,
): Promise<RgbImage[]> {
  const { generate, close } = await openModel(folder);
  const images: RgbImage[] = [];
  for (let from = 0; from < prompts.length; from += atOnce)
    images.push(...(await generate(prompts.slice(from, from + atOnce), from)));
  await close();
  return images;
}

/** Writes images of 128 px beside and below one another. */
export async function writeImages(images: readonly RgbImage[], columns: number, file: string): Promise<void> {
  const rows = Math.ceil(images.length / columns);
  const sheet = sharp({
    create: { width: 128 * columns, height: 128 * rows, channels: 3, background: "white" },
  });
  const placed = images.map(({ data, width, height }, i) => ({
    input: Buffer.from(data),
    raw: { width, height, channels: 3 as const },
    left: 128 * (i % columns),
    top: 128 * Math.floor(i / columns),
  }));
  await sheet.composite(placed).png({ palette: true }).toFile(file);
}
