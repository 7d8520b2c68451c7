/**
 * @file What a queue needs of whoever generates: an order in, events out. The embedded queue calls it in the server's
 * process, `koala worker` in its own. Orders and events are plain data and bytes, so that they can cross processes.
 */

import type { SchedulerChoice } from "../diffusion/schedulers/names.js";
import type { GenerationSettings, JobImage, Model, OutputFormat } from "./schemas.js";

/**
 * A request that was checked against its model and has every default filled in. Nothing is drawn or decided later: an
 * order that is generated twice gives the same images.
 */
export type JobRequest = {
  settings: GenerationSettings;
  /** What `settings.scheduler` names, overriding the model's own. */
  scheduler: SchedulerChoice;
  /** Files as they were sent, their headers checked: PNG, JPEG or WebP. */
  image?: Uint8Array;
  mask?: Uint8Array;
  /** Whether anyone may want `preview` events. */
  previews: boolean;
  /** What of the client's request was changed before it became this; told with the job, not in its images. */
  warnings: readonly string[];
};

export type MediaType = JobImage["mediaType"];

/** A finished image: a whole file, with its provenance inside. */
export type FinishedImage = Omit<JobImage, "url"> & { bytes: Uint8Array };

export type ProcessorEvent =
  /** After every call of the U-Net. `step` and `total` count the steps of all the order's images. */
  | { type: "step"; step: number; total: number; secondsLeft: number | null }
  /** A small image of where image `index` is going. */
  | { type: "preview"; index: number; step: number; mediaType: "image/jpeg" | "image/png"; bytes: Uint8Array }
  | { type: "image"; image: FinishedImage };

/**
 * Generates an order. Ends when all images were given; throws Cancelled no later than the end of the network call that
 * runs when the signal fires, and otherwise one of our errors (`failureOf` in failure.ts says what clients are told).
 */
export type ProcessRequest = (request: JobRequest, signal: AbortSignal) => AsyncIterable<ProcessorEvent>;

/** Models that are loaded at first use and kept. Generates one order at a time: a second one waits for the first. */
export interface JobProcessor {
  readonly models: readonly Model[];
  readonly process: ProcessRequest;
  close(): Promise<void>;
}

export const mediaTypes: Readonly<Record<OutputFormat, MediaType>> = {
  png: "image/png",
  jpeg: "image/jpeg",
  webp: "image/webp",
};
