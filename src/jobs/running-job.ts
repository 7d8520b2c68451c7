/** @file Orders that are being painted, and what their listeners are told on the way. */

import { Cancelled } from "../errors.js";
import { encodePicture } from "../image/codec.js";
import type { Step } from "../pipeline/base-pipeline.js";
import type { Painting } from "../pipeline/generated-image.js";
import type { Channel } from "./channel.js";
import { mediaTypes, type Order, type PaintEvent } from "./processor.js";
import type { PaceRun } from "./step-timer.js";

/** An order that is being painted, and who hears of it. */
export type Sitting = {
  order: Order;
  signal: AbortSignal;
  events: Channel<PaintEvent>;
  /** Network calls done and to do, of all its pictures. */
  step: number;
  total: number;
};

/** One picture of one order. */
export type Place = { sitting: Sitting; index: number };

/** Tells a cancelled order's listener so, once; the others of its batch go on. */
export function dropCancelled({ signal, events }: Sitting): boolean {
  if (signal.aborted) events.end({ error: new Cancelled() });
  return signal.aborted;
}

export function report(batch: readonly Place[], { index, total }: Step, timing: PaceRun): void {
  for (const sitting of new Set(batch.map((place) => place.sitting))) {
    const places = batch.filter((place) => place.sitting === sitting);
    const { count } = sitting.order.settings;
    // Known only now: a picture to begin with shortens it, some schedulers call the network twice a step.
    sitting.total = total * count;
    const before = places[0]!.index * total;
    sitting.step = before + (index + 1) * places.length;
    const batches = Math.ceil((count - places[0]!.index - places.length) / places.length);
    const secondsLeft = timing.left(total - index - 1 + batches * total);
    sitting.events.push({ type: "step", step: sitting.step, total: sitting.total, secondsLeft });
  }
}

export async function sendPreviews(batch: readonly Place[], step: Step): Promise<void> {
  const pictures = await step.preview();
  for (const [i, { sitting, index }] of batch.entries()) {
    if (!sitting.order.previews || sitting.signal.aborted) continue;
    const bytes = await encodePicture(pictures[i]!, "jpeg", { quality: 85 });
    sitting.events.push({ type: "preview", index, step: sitting.step, mediaType: "image/jpeg", bytes });
  }
}

export async function sendImages(batch: readonly Place[], images: readonly Painting[]): Promise<void> {
  for (const [i, { sitting, index }] of batch.entries()) {
    if (dropCancelled(sitting)) continue;
    const { outputFormat, quality } = sitting.order.settings;
    const { width, height, seed, warnings } = images[i]!;
    const bytes = await images[i]!.encode(outputFormat, quality === undefined ? {} : { quality });
    const mediaType = mediaTypes[outputFormat];
    const told = warnings.length > 0 ? { warnings: [...warnings] } : {};
    const image = { index, seed: String(seed), width, height, mediaType, ...told, bytes };
    sitting.events.push({ type: "image", image });
  }
}
