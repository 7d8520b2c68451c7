/**
 * @file What a queue needs of a processor: a batch of job requests goes in, events come out. The queue in memory calls
 * it in the server's process, `koala worker` in its own. Requests and events are plain data and bytes, so that they can
 * cross threads and processes.
 */

import type { SchedulerChoice } from "../diffusion/schedulers/sampler-names.js";
import type { Model } from "./model-schemas.js";
import type { ImageTexts } from "./request-texts.js";
import type { GenerationSettings, JobImage, OutputFormat, StepPredictions, WordMaps } from "./schemas.js";

/**
 * A request that was checked against its model and has every default and the seed filled in: generated twice, it gives
 * the same images.
 */
export type JobRequest = {
  settings: GenerationSettings;
  /** What dynamic prompts became, of each image. */
  texts?: readonly ImageTexts[];
  /** What `settings.scheduler` names, overriding the model's own. */
  scheduler: SchedulerChoice;
  /** Files as the client sent them, their headers checked: PNG, JPEG or WebP. */
  image?: Uint8Array;
  mask?: Uint8Array;
  /** Whether `preview` events are made. */
  previews: boolean;
  /** What of the client's request was changed before it became this; part of the job, not of its images. */
  warnings: readonly string[];
};

export type MediaType = JobImage["mediaType"];

/** A finished image: a whole file, with its metadata inside. */
export type FinishedImage = Omit<JobImage, "url" | "attentionUrl" | "stepsUrl"> & {
  bytes: Uint8Array;
  /** Where each word went, if it was asked for. */
  wordMaps?: WordMaps;
  /** What each step predicted, if it was asked for. */
  stepPredictions?: StepPredictions;
};

export type ProcessorEvent =
  /** After every call of the U-Net. `step` and `total` count the steps of all the job's images. */
  | { type: "step"; step: number; total: number; secondsLeft: number | null }
  /** A small image of the prediction for image `index`. */
  | { type: "preview"; index: number; step: number; mediaType: "image/jpeg" | "image/png"; bytes: Uint8Array }
  | { type: "image"; image: FinishedImage };

/** A job of a batch; the signal cancels this job alone. */
export type BatchJob = { request: JobRequest; signal: AbortSignal };

/**
 * Starts generating one batch: jobs whose images can share U-Net calls, which the queue decides (batch.ts). Returns a
 * stream of events for each job, in the order of the batch. A stream ends when all images of its job were given; it
 * throws Cancelled no later than the end of the U-Net call that runs when its signal fires, and otherwise one of the
 * classes of errors.ts (`failureOf` in failure.ts says what clients read).
 */
type ProcessBatch = (batch: readonly BatchJob[]) => readonly AsyncIterable<ProcessorEvent>[];

/** Opened models, loaded at first use. Generates one batch at a time: a second one waits for the first. */
export interface JobProcessor {
  readonly models: readonly Model[];
  readonly process: ProcessBatch;
  close(): Promise<void>;
}

export const mediaTypes: Readonly<Record<OutputFormat, MediaType>> = {
  png: "image/png",
  jpeg: "image/jpeg",
  webp: "image/webp",
};
