/** @file Keeps what each step of a job's run predicted, and makes small images of it for a job with `explainSteps`. */

import { toBase64 } from "../files/base64.js";
import { blurred } from "../image/blur.js";
import { encodeImage } from "../image/codec.js";
import { type RgbImage, toRgbImage } from "../image/pixels.js";
import { resizeImage } from "../image/resize.js";
import { type CleanPredictions, cleanPredictions } from "../pipeline/attention/predictions.js";
import type { Step } from "../pipeline/generate-result.js";
import type { DiffusionPipeline } from "../pipeline/pipeline.js";
import type { StepPredictions } from "./schemas.js";

/** Of a longer run so many steps are kept, evenly chosen, the first and the last among them. */
const mostSteps = 25;
/** Pixels of a side. Images that are no larger are decoded, larger ones are previews. */
const mostSide = 128;

type Kept = CleanPredictions & { index: number; timestep: number };
/** Of an image in pixels; `factor` are those of a latent. Predictions are not checked for safety, so that they may be blurred. */
type Drawing = { width: number; height: number; factor: number; blurs: boolean };

export class StepRecorder {
  readonly #batch: number;
  readonly #steps: Kept[][];
  #noise: readonly Float32Array[] = [];
  #total = 0;

  constructor(batch: number) {
    this.#batch = batch;
    this.#steps = Array.from({ length: batch }, () => []);
  }

  add(step: Step): void {
    const { index, total, timestep, modelInput, predOriginalSample } = step;
    if (index === 0) this.#noise = this.#rows(modelInput, predOriginalSample.length / this.#batch);
    this.#total = total;
    if (!isKept(index, total)) return;
    for (const [i, kept] of this.#steps.entries())
      kept.push({ ...cleanPredictions(step, i, this.#batch), index, timestep });
  }

  /** The first `size` values of each image: inpainting U-Nets read further channels behind the latents. */
  #rows(all: Float32Array, size: number): Float32Array[] {
    const width = all.length / this.#batch;
    return Array.from({ length: this.#batch }, (_, i) => all.slice(i * width, i * width + size));
  }

  /** Of the i-th image of the batch. */
  async result(i: number, pipeline: DiffusionPipeline, drawing: Drawing): Promise<StepPredictions> {
    const draw = drawer(pipeline, drawing);
    const steps: StepPredictions["steps"] = [];
    for (const { index, timestep, guided, prompt, negative, difference } of this.#steps[i]!) {
      const parts = negative && {
        prompt: await draw(prompt),
        negative: await draw(negative),
        difference: difference!,
      };
      steps.push({ index, timestep, guided: await draw(guided), ...parts });
    }
    const noise = this.#noise[i]!;
    return {
      total: this.#total,
      noise: { image: await draw(noise), values: noise.length, ...moments(noise) },
      steps,
    };
  }
}

function isKept(index: number, total: number): boolean {
  if (total <= mostSteps || index === 0) return true;
  const place = (at: number) => Math.floor((at * (mostSteps - 1)) / (total - 1));
  return place(index) > place(index - 1);
}

const drawer =
  (pipeline: DiffusionPipeline, { width, height, factor, blurs }: Drawing) =>
  async (latents: Float32Array): Promise<string> => {
    const [h, w] = [height / factor, width / factor];
    const image =
      Math.max(width, height) <= mostSide
        ? toRgbImage(await pipeline.decode(latents, h, w), width, height)
        : small(await pipeline.previewOf(latents, h, w));
    const bytes = await encodeImage(blurs ? blurred(image) : image, "png");
    return `data:image/png;base64,${toBase64(bytes)}`;
  };

function small(image: RgbImage): RgbImage {
  const by = Math.max(image.width, image.height) / mostSide;
  if (by <= 1) return image;
  const side = (pixels: number) => Math.max(1, Math.round(pixels / by));
  return resizeImage(image, side(image.width), side(image.height));
}

function moments(values: Float32Array): { mean: number; deviation: number } {
  const mean = values.reduce((sum, x) => sum + x, 0) / values.length;
  const variance = values.reduce((sum, x) => sum + (x - mean) ** 2, 0) / values.length;
  return { mean, deviation: Math.sqrt(variance) };
}
