/**
 * @file Which orders can be painted as one batch, and how many pictures at once. Measured (docs/log.md): batches of
 * small pictures take half to two thirds of the time of singles, those of large ones save little and delay the first.
 */

import type { Order } from "./paint.js";

/** Of all the pictures of a batch. */
const batchPixels = 2 ** 18;
const batchPictures = 16;

/** How many pictures of this size are painted at once. */
export function picturesAtOnce({ width, height }: Order["settings"]): number {
  return Math.max(1, Math.min(batchPictures, Math.floor(batchPixels / (width * height))));
}

/** A text of so many bytes has no more tokens than that, and so is never cut. */
const wholeBytes = 75;

/** Orders with the same key may share a batch; undefined for one that may not. */
export function batchKey({ settings, scheduler, image }: Order): string | undefined {
  if (image || picturesAtOnce(settings) === 1) return undefined;
  // What is cut off is told to whoever sent it, and to nobody else.
  const texts = [settings.prompt, settings.negativePrompt ?? ""];
  if (texts.some((text) => Buffer.byteLength(text) > wholeBytes)) return undefined;
  const { model, width, height, steps, guidanceScale, clipSkip, rng, negativePrompt } = settings;
  // Without any negative prompt SDXL is told zeros, which is not what an empty one gives.
  const negative = negativePrompt !== undefined;
  return JSON.stringify([model, width, height, steps, guidanceScale, clipSkip, rng, negative, scheduler]);
}

/** The first that waits, and those behind it that may share its batch, up to what is painted at once. */
export function takeTogether<T>(waiting: readonly T[], orderOf: (one: T) => Order): T[] {
  const first = orderOf(waiting[0]!);
  const key = batchKey(first);
  let room = picturesAtOnce(first.settings);
  return waiting.filter((one, i) => {
    const order = orderOf(one);
    const { count } = order.settings;
    const fits = i === 0 || (key !== undefined && count <= room && batchKey(order) === key);
    if (fits) room -= count;
    return fits;
  });
}
