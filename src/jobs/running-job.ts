/** @file Orders that are being generated, and what their listeners are told on the way. */

import { Cancelled } from "../errors.js";
import { encodeImage } from "../image/codec.js";
import type { Step } from "../pipeline/base-pipeline.js";
import type { GeneratedImage } from "../pipeline/generated-image.js";
import type { Channel } from "./channel.js";
import { type JobRequest, mediaTypes, type ProcessorEvent } from "./processor.js";
import type { StepTiming } from "./step-timer.js";

/** An order that is being generated, and who hears of it. */
export type RunningJob = {
  request: JobRequest;
  signal: AbortSignal;
  events: Channel<ProcessorEvent>;
  /** Network calls done and to do, of all its images. */
  step: number;
  total: number;
};

/** One image of one order. */
export type BatchItem = { job: RunningJob; index: number };

/** Tells a cancelled order's listener so, once; the others of its batch go on. */
export function dropCancelled({ signal, events }: RunningJob): boolean {
  if (signal.aborted) events.end({ error: new Cancelled() });
  return signal.aborted;
}

export function report(batch: readonly BatchItem[], { index, total }: Step, timing: StepTiming): void {
  for (const job of new Set(batch.map((place) => place.job))) {
    const places = batch.filter((place) => place.job === job);
    const { count } = job.request.settings;
    // Known only now: an image to begin with shortens it, some schedulers call the network twice a step.
    job.total = total * count;
    const before = places[0]!.index * total;
    job.step = before + (index + 1) * places.length;
    const batches = Math.ceil((count - places[0]!.index - places.length) / places.length);
    const secondsLeft = timing.left(total - index - 1 + batches * total);
    job.events.push({ type: "step", step: job.step, total: job.total, secondsLeft });
  }
}

export async function sendPreviews(batch: readonly BatchItem[], step: Step): Promise<void> {
  const images = await step.preview();
  for (const [i, { job, index }] of batch.entries()) {
    if (!job.request.previews || job.signal.aborted) continue;
    const bytes = await encodeImage(images[i]!, "jpeg", { quality: 85 });
    job.events.push({ type: "preview", index, step: job.step, mediaType: "image/jpeg", bytes });
  }
}

export async function sendImages(
  batch: readonly BatchItem[],
  images: readonly GeneratedImage[],
): Promise<void> {
  for (const [i, { job, index }] of batch.entries()) {
    if (dropCancelled(job)) continue;
    const { outputFormat, quality } = job.request.settings;
    const { width, height, seed, warnings } = images[i]!;
    const bytes = await images[i]!.encode(outputFormat, quality === undefined ? {} : { quality });
    const mediaType = mediaTypes[outputFormat];
    const told = warnings.length > 0 ? { warnings: [...warnings] } : {};
    const image = { index, seed: String(seed), width, height, mediaType, ...told, bytes };
    job.events.push({ type: "image", image });
  }
}
