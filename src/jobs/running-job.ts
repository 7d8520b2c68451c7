/** @file Jobs of the batch that runs, and the events that each of them is sent. */

import { Cancelled } from "../errors.js";
import { encodeImage } from "../image/codec.js";
import type { ContentSigner } from "../image/content-credentials.js";
import type { GenerateResult, Step } from "../pipeline/generate-result.js";
import type { Channel } from "./channel.js";
import { type BatchJob, mediaTypes, type ProcessorEvent } from "./processor.js";
import type { StepPredictions } from "./schemas.js";
import type { StepTiming } from "./step-timer.js";
import { wordMapsOf } from "./word-maps.js";

/** A job that runs, and the channel of its events. */
export type RunningJob = BatchJob & { events: Channel<ProcessorEvent> };

/** One image of one job. */
export type BatchItem = { job: RunningJob; index: number };

/** Ends the events of a cancelled job, while the others of its batch go on; returns whether it is cancelled. */
export function dropCancelled({ signal, events }: RunningJob): boolean {
  if (signal.aborted) events.end({ error: new Cancelled() });
  return signal.aborted;
}

/** Sends the jobs of `items` a step of their U-Net call. */
export function sendStep(items: readonly BatchItem[], step: Step, timing: StepTiming): void {
  const { index, total } = step;
  for (const job of jobsOf(items)) {
    const own = imagesOf(job, items);
    const { count } = job.request.settings;
    const laterCalls = Math.ceil((count - own[0]!.index - own.length) / own.length);
    job.events.push({
      type: "step",
      step: stepsDone(job, items, step),
      // Of the run, not of the request: strength shortens it, some schedulers call the network twice a step.
      total: total * count,
      secondsLeft: timing.left(total - index - 1 + laterCalls * total),
    });
  }
}

export async function sendPreviews(items: readonly BatchItem[], step: Step): Promise<void> {
  if (!items.some(({ job }) => job.request.previews)) return;
  const images = await step.preview();
  for (const [i, { job, index }] of items.entries()) {
    if (!job.request.previews || job.signal.aborted) continue;
    const bytes = await encodeImage(images[i]!, "jpeg", { quality: 85 });
    const done = stepsDone(job, items, step);
    job.events.push({ type: "preview", index, step: done, mediaType: "image/jpeg", bytes });
  }
}

const imagesOf = (job: RunningJob, items: readonly BatchItem[]): readonly BatchItem[] =>
  items.filter((item) => item.job === job);

/** Steps of all of a job's images, those of earlier U-Net calls among them. */
function stepsDone(job: RunningJob, items: readonly BatchItem[], { index, total }: Step): number {
  const own = imagesOf(job, items);
  return own[0]!.index * total + (index + 1) * own.length;
}

/** What the steps predicted, of the i-th image of the items. */
type PredictionsOf = (i: number) => Promise<StepPredictions>;

export async function sendImages(
  items: readonly BatchItem[],
  { images, attentionMaps }: Pick<GenerateResult, "images" | "attentionMaps">,
  { signer, predictions }: { signer: ContentSigner | undefined; predictions: PredictionsOf | undefined },
): Promise<void> {
  for (const [i, { job, index }] of items.entries()) {
    if (dropCancelled(job)) continue;
    const { outputFormat, quality } = job.request.settings;
    const { width, height, seed, warnings, flagged } = images[i]!;
    const bytes = await images[i]!.encode(outputFormat, {
      ...(quality !== undefined && { quality }),
      ...(signer && { signer }),
    });
    const mediaType = mediaTypes[outputFormat];
    const withWarnings = warnings.length > 0 && { warnings: [...warnings] };
    const maps = attentionMaps?.[i];
    const image = {
      index,
      seed: String(seed),
      width,
      height,
      mediaType,
      ...withWarnings,
      ...(flagged && { flagged }),
      ...(maps && { wordMaps: wordMapsOf(maps) }),
      ...(predictions && { stepPredictions: await predictions(i) }),
      bytes,
    };
    job.events.push({ type: "image", image });
  }
}

/** The jobs of a batch's images, each once. */
export const jobsOf = (items: readonly BatchItem[]): readonly RunningJob[] => [
  ...new Set(items.map(({ job }) => job)),
];
