/**
 * @file Which jobs share a batch, and how many images are generated at once. Measured (docs/log.md): batches of small
 * images take half to two thirds of the time of single ones, those of large ones save little and delay the first.
 */

import type { JobRequest } from "./processor.js";

/** Pixels of all the images of a batch. */
const mostBatchPixels = 2 ** 18;
const mostBatchImages = 16;

/** How many images of this size are generated at once. */
export function imagesAtOnce({ width, height }: JobRequest["settings"]): number {
  return Math.max(1, Math.min(mostBatchImages, Math.floor(mostBatchPixels / (width * height))));
}

/** Jobs of the same key may share a batch; undefined for a job that may not. */
function batchKey({ settings, scheduler, image }: JobRequest): string | undefined {
  // A flagged image of one would refuse them all.
  if (image || imagesAtOnce(settings) === 1 || settings.safety === "refuse") return undefined;
  const { model, lora, width, height, steps, guidanceScale, clipSkip, rng, negativePrompt, vaeTiling } =
    settings;
  // Without a negative prompt SDXL is conditioned on zeros, with an empty one on the text encoder's output.
  const hasNegative = negativePrompt !== undefined;
  const shape = [width, height, steps, guidanceScale, clipSkip, rng, hasNegative, scheduler, vaeTiling];
  const { promptSyntax, longPrompts, padConditions, emphasis, dynamicPrompts } = settings;
  const reading = [promptSyntax, longPrompts, padConditions, emphasis, dynamicPrompts];
  return JSON.stringify([
    model,
    lora,
    settings.safety,
    settings.attentionMaps,
    settings.explainSteps,
    ...shape,
    ...reading,
  ]);
}

/** A batch that begins with one job, and how many images it still has room for. */
export class Batch {
  readonly #key: string | undefined;
  #room: number;

  constructor(first: JobRequest) {
    this.#key = batchKey(first);
    this.#room = imagesAtOnce(first.settings) - first.settings.count;
  }

  get full(): boolean {
    return this.#key === undefined || this.#room <= 0;
  }

  /** Adds a job if it may share the batch and finds room; returns whether it does. */
  add(request: JobRequest): boolean {
    const { count } = request.settings;
    if (this.full || count > this.#room || batchKey(request) !== this.#key) return false;
    this.#room -= count;
    return true;
  }
}

/** The first of the waiting jobs, and those behind it that share its batch. */
export function nextBatch<T>(waiting: readonly T[], requestOf: (job: T) => JobRequest): T[] {
  const [first, ...others] = waiting;
  const batch = new Batch(requestOf(first!));
  return [first!, ...others.filter((job) => batch.add(requestOf(job)))];
}
