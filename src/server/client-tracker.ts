/**
 * @file Tracks which clients wait for which job at this server. A job that was sent by a request that waits for its
 * images is cancelled when the last client that follows it hangs up; one that was only submitted is not.
 */

import { Busy, Cancelled } from "../errors.js";
import { dataLost } from "../jobs/failure.js";
import { merged } from "../jobs/merge-streams.js";
import type { JobRequest } from "../jobs/processor.js";
import { Draining, isOver, type JobEvent, type JobQueue, type JobStatus } from "../jobs/queue.js";
import { JobFailed } from "./problem.js";

/** An event and the id of its job. */
export type NamedEvent = { id: string; event: JobEvent };

/** Event streams at once. */
const mostStreams = 1000;

/** Pause for each open stream: sending one an event takes about 0.03 ms, and the thread must be free for others. */
const pauseMs = 0.5;

/** So few need no pause. */
const fewStreams = 20;

const pause = (ms: number, signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    const timer = setTimeout(done, ms);
    signal.addEventListener("abort", done, { once: true });
    function done() {
      clearTimeout(timer);
      signal.removeEventListener("abort", done);
      resolve();
    }
  });

export class ClientTracker {
  readonly #queue: JobQueue;
  /** Clients that follow each job. */
  readonly #followers = new Map<string, number>();
  /** Jobs that end with their last client. */
  readonly #attended = new Set<string>();
  #streams = 0;

  constructor(queue: JobQueue) {
    this.#queue = queue;
  }

  /**
   * The events of jobs for one stream. The more streams there are, the more slowly each gets steps and previews, of which
   * later ones replace earlier ones. Busy where there are too many streams already.
   */
  watch(ids: readonly string[], signal: AbortSignal): AsyncGenerator<NamedEvent, void> {
    if (this.#streams >= mostStreams) throw new Busy("followers of jobs");
    return this.#watch(ids, signal);
  }

  async *#watch(ids: readonly string[], signal: AbortSignal): AsyncGenerator<NamedEvent, void> {
    this.#streams++;
    try {
      for await (const named of merged((own) => ids.map((id) => this.#followNamed(id, own)), signal)) {
        yield named;
        const { type } = named.event;
        const isReplaced = type === "step" || type === "preview";
        if (isReplaced && this.#streams > fewStreams) await pause(this.#streams * pauseMs, signal);
      }
    } finally {
      this.#streams--;
    }
  }

  /** A job's events for one client. */
  async *follow(id: string, signal: AbortSignal): AsyncGenerator<JobEvent, void> {
    this.#followers.set(id, (this.#followers.get(id) ?? 0) + 1);
    try {
      yield* this.#queue.events(id, signal);
    } finally {
      await this.#leave(id);
    }
  }

  /** Submits a job whose client follows it at once; it is cancelled when no client does any more. */
  async submitAttended(request: JobRequest, api?: string): Promise<JobStatus> {
    const job = await this.#queue.submit(request, api);
    this.#attended.add(job.id);
    return job;
  }

  /**
   * Follows an attended job to its end: the finished job; Cancelled if it was cancelled or the client hung up, Draining
   * if this server stops before its end, JobFailed if it failed.
   */
  async outcome(
    { id }: JobStatus,
    signal: AbortSignal,
    onEvent: (event: JobEvent) => void | Promise<void> = () => {},
  ): Promise<JobStatus> {
    let job: JobStatus | undefined;
    for await (const event of this.follow(id, signal)) {
      if (event.type === "state") job = event.job;
      await onEvent(event);
    }
    if (job?.state === "failed") throw new JobFailed(job.error!);
    if (job?.state === "done") return job;
    // Where the server stops, the client may send it again, to another server or after its start.
    const health = await this.#queue.health();
    if (!health.ok && health.reason === "stopping") throw new Draining();
    // Not even its first state came: its record went between its submission and its first reading.
    if (job === undefined && !signal.aborted) throw new JobFailed(dataLost);
    throw new Cancelled();
  }

  async *#followNamed(id: string, signal: AbortSignal): AsyncGenerator<NamedEvent, void> {
    for await (const event of this.follow(id, signal)) yield { id, event };
  }

  async #leave(id: string): Promise<void> {
    const left = this.#followers.get(id)! - 1;
    if (left > 0) return void this.#followers.set(id, left);
    this.#followers.delete(id);
    if (!this.#attended.delete(id)) return;
    const job = await this.#queue.get(id);
    if (job && !isOver(job.state)) await this.#queue.cancel(id);
  }
}
