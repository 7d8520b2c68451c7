/** @file Images of a model in numbers, and many of them on one sheet. */

import sharp from "sharp";
import type { RgbImage } from "../src/image/pixels.js";
import { DiffusionPipeline } from "../src/index.js";
import { requestDefaults } from "../src/pipeline/model-defaults.js";

export type Sampling = { steps: number; guidanceScale: number };

/** A model that generates as its `koala.json` advises, or as told. */
export async function opened(folder: string, given: Partial<Sampling> = {}) {
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

/** All prompts, `columns` a row, each from the seed of its number. */
export async function writeSheet(
  folder: string,
  prompts: readonly string[],
  file: string,
  columns = 8,
): Promise<void> {
  await writeImages(await generateAll(folder, prompts, columns), columns, file);
}

/** Each prompt's image, from the seed of its number; so many at once. */
export async function generateAll(
  folder: string,
  prompts: readonly string[],
  atOnce: number,
): Promise<RgbImage[]> {
  const { generate, close } = await opened(folder);
  const images: RgbImage[] = [];
  for (let from = 0; from < prompts.length; from += atOnce)
    images.push(...(await generate(prompts.slice(from, from + atOnce), from)));
  await close();
  return images;
}

/** Images of 128 px beside and below one another. */
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
