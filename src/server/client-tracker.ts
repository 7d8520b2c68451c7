/**
 * @file Who waits for which job at this server. A job that was sent to be waited for is cancelled when the last one
 * who waits hangs up; one that was only handed in is not.
 */

import { Busy, Cancelled } from "../errors.js";
import { merged } from "../jobs/merge-streams.js";
import type { JobRequest } from "../jobs/processor.js";
import { Draining, isOver, type JobEvent, type JobQueue, type JobStatus } from "../jobs/queue.js";
import { JobFailed } from "./problem.js";

/** An event and the id of its job. */
export type OfJob = { id: string; event: JobEvent };

/** Streams of events at once. */
const mostStreams = 1000;

/** To tell one of them something takes about 0.03 ms: so long a rest keeps the thread free for others. */
const restMs = 0.5;

/** So few need no rest. */
const fewStreams = 20;

const rest = (ms: number, signal: AbortSignal): Promise<void> =>
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
  readonly #present = new Map<string, number>();
  readonly #attended = new Set<string>();
  #watching = 0;

  constructor(queue: JobQueue) {
    this.#queue = queue;
  }

  /**
   * The events of jobs for one stream, which takes steps and previews the more slowly the more streams there are: of
   * those that a later one replaces, only the last is then told. Busy where there are too many streams already.
   */
  watch(ids: readonly string[], signal: AbortSignal): AsyncGenerator<OfJob, void> {
    if (this.#watching >= mostStreams) throw new Busy("followers of jobs");
    return this.#watch(ids, signal);
  }

  async *#watch(ids: readonly string[], signal: AbortSignal): AsyncGenerator<OfJob, void> {
    this.#watching++;
    try {
      for await (const told of merged((own) => ids.map((id) => this.#followNamed(id, own)), signal)) {
        yield told;
        const { type } = told.event;
        const passes = type === "step" || type === "preview";
        if (passes && this.#watching > fewStreams) await rest(this.#watching * restMs, signal);
      }
    } finally {
      this.#watching--;
    }
  }

  /** A job's events for one who may leave. */
  async *follow(id: string, signal: AbortSignal): AsyncGenerator<JobEvent, void> {
    this.#present.set(id, (this.#present.get(id) ?? 0) + 1);
    try {
      yield* this.#queue.events(id, signal);
    } finally {
      await this.#leave(id);
    }
  }

  /** Hands in an order of one who will follow it at once; it is cancelled when nobody does any more. */
  async attend(request: JobRequest, api?: string): Promise<JobStatus> {
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
    // Not cancelled by anyone: its client may send it again, to another server or to this one's next start.
    const health = await this.#queue.health();
    throw !health.ok && health.reason === "stopping" ? new Draining() : new Cancelled();
  }

  async *#followNamed(id: string, signal: AbortSignal): AsyncGenerator<OfJob, void> {
    for await (const event of this.follow(id, signal)) yield { id, event };
  }

  async #leave(id: string): Promise<void> {
    const left = this.#present.get(id)! - 1;
    if (left > 0) return void this.#present.set(id, left);
    this.#present.delete(id);
    if (!this.#attended.delete(id)) return;
    const job = await this.#queue.get(id);
    if (job && !isOver(job.state)) await this.#queue.cancel(id);
  }
}
