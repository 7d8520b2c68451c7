/** @file One run of `koala explain`: the image, its attention maps, and what each step predicted. */

import { blurred } from "../image/blur.js";
import { type RgbImage, toRgbImage } from "../image/pixels.js";
import type { AttentionMaps } from "../pipeline/attention/maps.js";
import { type CleanPredictions, cleanPredictions } from "../pipeline/attention/predictions.js";
import type { GeneratedImage } from "../pipeline/generated-image.js";
import type { DiffusionPipeline } from "../pipeline/pipeline.js";
import type { GenerateRequest } from "../pipeline/request.js";
import type { ProgressBar } from "./terminal.js";

/** A step: what it predicts of the clean image, and where words went in it. */
export type ExplainedStep = {
  timestep: number;
  /** Clean latents by the guided prediction. */
  latents: Float32Array;
  /** The same decoded, and by the prediction for the prompt and for the negative prompt alone. */
  guided: RgbImage;
  prompt: RgbImage;
  negative: RgbImage | undefined;
  difference: number | undefined;
  /** [words, rows, columns] */
  words: Float32Array;
};

export type ExplainedRun = {
  /** The model's. */
  name: string;
  image: GeneratedImage;
  maps: AttentionMaps;
  /** Only if they were asked for. */
  steps: readonly ExplainedStep[];
};

type Kept = CleanPredictions & Pick<ExplainedStep, "timestep" | "words">;

/** Generates one image; with `perStep` decodes what each step predicted, afterwards. */
export async function explainedRun(
  pipeline: DiffusionPipeline,
  request: GenerateRequest,
  { perStep, progress }: { perStep: boolean; progress: ProgressBar },
): Promise<ExplainedRun> {
  const run = pipeline.stream({ ...request, numImagesPerPrompt: 1, attentionMaps: true });
  const kept: Kept[] = [];
  let [next, started] = [await run.next(), performance.now()];
  while (!next.done) {
    const step = next.value;
    if (step.index === 0) progress.start("generating", step.total);
    else progress.step(step.index + 1, (secondsSince(started) / step.index) * (step.total - step.index - 1));
    if (step.index === 0) started = performance.now();
    if (perStep) {
      const words = step.attentionMaps![0]!.wordMaps();
      kept.push({ ...cleanPredictions(step, 0, 1), timestep: step.timestep, words });
    }
    next = await run.next();
  }
  progress.stop();
  const [image, maps] = [next.value.images[0]!, next.value.attentionMaps![0]!];
  const decode = decoder(pipeline, image, maps);
  const steps: ExplainedStep[] = [];
  for (const { guided, prompt, negative, ...step } of kept) {
    const decoded = { guided: await decode(guided), prompt: await decode(prompt) };
    steps.push({ ...step, latents: guided, ...decoded, negative: negative && (await decode(negative)) });
  }
  return { name: (await pipeline.model()).name, image, maps, steps };
}

/** Clean latents as an image, which is blurred where the finished one is. */
const decoder =
  (pipeline: DiffusionPipeline, { width, height, flagged }: GeneratedImage, maps: AttentionMaps) =>
  async (latents: Float32Array): Promise<RgbImage> => {
    const image = toRgbImage(await pipeline.decode(latents, maps.height, maps.width), width, height);
    return flagged ? blurred(image) : image;
  };

const secondsSince = (time: number): number => (performance.now() - time) / 1000;
