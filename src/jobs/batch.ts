/**
 * @file Which orders can be generated as one batch, and how many images at once. Measured (docs/log.md): batches of
 * small images take half to two thirds of the time of singles, those of large ones save little and delay the first.
 */

import type { JobRequest } from "./processor.js";

/** Of all the images of a batch. */
const batchPixels = 2 ** 18;
const mostPixelsAtOnce = 16;

/** How many images of this size are generated at once. */
export function imagesAtOnce({ width, height }: JobRequest["settings"]): number {
  return Math.max(1, Math.min(mostPixelsAtOnce, Math.floor(batchPixels / (width * height))));
}

/** Orders with the same key may share a batch; undefined for one that may not. */
function batchKey({ settings, scheduler, image }: JobRequest): string | undefined {
  if (image || imagesAtOnce(settings) === 1) return undefined;
  const { model, lora, width, height, steps, guidanceScale, clipSkip, rng, negativePrompt } = settings;
  // Without any negative prompt SDXL is told zeros, which is not what an empty one gives.
  const negative = negativePrompt !== undefined;
  const shape = [width, height, steps, guidanceScale, clipSkip, rng, negative, scheduler];
  return JSON.stringify([model, lora, ...shape]);
}

/** Whose batch it is, and how many images it still has room for. */
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

  /** Whether an order may share it and finds room, which it then takes. */
  takes(request: JobRequest): boolean {
    const { count } = request.settings;
    if (this.full || count > this.#room || batchKey(request) !== this.#key) return false;
    this.#room -= count;
    return true;
  }
}

/** The first that waits, and those behind it that may share its batch, up to what is generated at once. */
export function takeTogether<T>(waiting: readonly T[], jobRequestOf: (one: T) => JobRequest): T[] {
  const [first, ...others] = waiting;
  const batch = new Batch(jobRequestOf(first!));
  return [first!, ...others.filter((one) => batch.takes(jobRequestOf(one)))];
}
