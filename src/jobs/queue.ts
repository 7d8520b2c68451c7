/**
 * @file The interface of a job queue, implemented in memory and on Redis; routes use nothing else of either. Must not
 * import HTTP.
 */

import type { FinishedImage, JobRequest, MediaType } from "./processor.js";
import type { JobFailure, JobState } from "./schemas.js";

/** A job without the bytes of its images. Plain data. */
export type JobStatus = {
  id: string;
  state: JobState;
  /** While queued: 1 is generated next. */
  position: number | null;
  step: number;
  total: number;
  secondsLeft: number | null;
  /** Milliseconds since 1970. */
  createdAt: number;
  startedAt: number | null;
  finishedAt: number | null;
  settings: JobRequest["settings"];
  /** The API that it was sent by, where that API has requests about its jobs without their ids. */
  api: string | null;
  /** The `how` it was cancelled with. */
  stopped: string | null;
  images: readonly Omit<FinishedImage, "bytes">[];
  /** What of the client's request was changed before it became a job; `jobWarnings` has the images' too. */
  warnings: readonly string[];
  error: JobFailure | null;
};

/** An event of a job; with bytes only where an image is small. */
export type JobEvent =
  /** The first event of every iteration, then at every change of state and of the position in the queue. */
  | { type: "state"; job: JobStatus }
  | { type: "step"; step: number; total: number; secondsLeft: number | null }
  | { type: "preview"; index: number; step: number; mediaType: "image/jpeg" | "image/png"; bytes: Uint8Array }
  /** An image is finished and can be had by `image`. */
  | { type: "image"; image: Omit<FinishedImage, "bytes"> };

export type Depth = { queued: number; running: number };

/** Where jobs wait and are generated. All methods are safe to call at any time until `close`. */
export interface JobQueue {
  /**
   * Rejects with QueueUnreachable until the queue was reached for the first time: before that its models are not
   * known.
   */
  opened(): Promise<void>;
  /** Adds a job; throws QueueFull when as many jobs wait as may, Draining after `close` began. */
  submit(request: JobRequest, api?: string): Promise<JobStatus>;
  /** Undefined for a job that never was or is forgotten (an hour after its end, or sooner when memory is short). */
  get(id: string): Promise<JobStatus | undefined>;
  /** Those that wait, run or are remembered, the latest first and no more than `mostListed`. */
  list(): Promise<readonly JobStatus[]>;
  /** Those that wait or run; the first that came first. */
  live(): Promise<readonly JobStatus[]>;
  /**
   * Ends a job that waits or runs as cancelled, and gives it as it then is: a running one stays "running" until the
   * network call that runs has ended. A finished job is given as it is. `how` becomes its `stopped`.
   */
  cancel(id: string, how?: string): Promise<JobStatus | undefined>;
  /**
   * Follows a job: its state now, its events, and last the state it ends in. Slow subscribers miss steps and previews,
   * never states and images. Ends at once for a job that is unknown, and when the signal fires.
   */
  events(id: string, signal?: AbortSignal): AsyncIterable<JobEvent>;
  /** The last preview of a job that runs. */
  preview(id: string): Promise<Uint8Array | undefined>;
  /** A small text that all servers of this queue share, by its name; undefined before it was set. */
  shared(name: string): Promise<string | undefined>;
  share(name: string, text: string): Promise<void>;
  /** A finished image's file. */
  image(id: string, index: number): Promise<{ bytes: Uint8Array; mediaType: MediaType } | undefined>;
  depth(): Promise<Depth>;
  /** Whether jobs can be taken now, and if not, why; for /healthz. */
  health(): Promise<{ ok: true } | { ok: false; reason: string }>;
  /**
   * Takes no more jobs, waits up to `graceSeconds` for running ones, and cancels the rest (in memory) or leaves it to
   * other workers (Redis). Afterwards all event streams have ended.
   */
  close(options?: { graceSeconds?: number }): Promise<void>;
}

/** As many jobs wait as may: HTTP 429 with Retry-After. */
export class QueueFull extends Error {
  override name = "QueueFull" as const;
  readonly retryAfterSeconds: number;

  /** `secondsLeft` of the running job, if known: then there is room for one more. */
  constructor(most: number, secondsLeft: number | null = null) {
    const seconds = Math.min(300, Math.max(1, Math.ceil(secondsLeft ?? 5)));
    super(`queue: must have at most ${most} waiting jobs, got one more. Try again in ${seconds} s.`);
    this.retryAfterSeconds = seconds;
  }
}

/** The server is stopping: HTTP 503. */
export class Draining extends Error {
  override name = "Draining" as const;

  constructor() {
    super("queue: takes no more jobs, since this server is stopping. Send it again shortly.");
  }
}

/** The queue cannot be reached, or takes nothing for now: HTTP 503. */
export class QueueUnreachable extends Error {
  override name = "QueueUnreachable" as const;

  /** `got` is the reason: "no answer". */
  constructor(address: string, got: string) {
    super(`queue: must take jobs at ${address}, got ${got}. Send it again shortly.`);
  }
}

/** The warnings of a job and of its images, each once. */
export const jobWarnings = ({ warnings, images }: Pick<JobStatus, "warnings" | "images">): string[] => [
  ...new Set([...warnings, ...images.flatMap((image) => image.warnings ?? [])]),
];

export const isOver = (state: JobState): boolean =>
  state === "done" || state === "failed" || state === "cancelled";
