/** @file What AUTOMATIC1111's API has one of per server: the job that runs, its last preview, the chosen model. */

import type { Audience } from "../http/audience.js";
import type { Order } from "../paint.js";
import { isOver, type JobEvent, type JobQueue, type JobStatus } from "../queue.js";
import type { Standing } from "./wish.js";

type OnDesk = {
  status: JobStatus;
  preview: Uint8Array | undefined;
  stopped: "interrupted" | "skipped" | undefined;
};

export class Desk {
  standing: Standing = { checkpoint: undefined, clipSkip: undefined };
  readonly #queue: JobQueue;
  readonly #audience: Audience;
  /** In the order they came; the first that runs is the one that is asked about. */
  readonly #jobs = new Map<string, OnDesk>();

  constructor(queue: JobQueue, audience: Audience) {
    this.#queue = queue;
    this.#audience = audience;
  }

  /** Paints while this API's clients can ask about it. An interrupted job gives what is finished, as A1111 does. */
  async paint(order: Order, signal: AbortSignal): Promise<JobStatus> {
    const job = await this.#audience.attend(order);
    const entry: OnDesk = { status: job, preview: undefined, stopped: undefined };
    this.#jobs.set(job.id, entry);
    try {
      return await this.#audience.outcome(job, signal, (event) => note(entry, event));
    } catch (error) {
      if (entry.stopped) return entry.status;
      throw error;
    } finally {
      this.#jobs.delete(job.id);
    }
  }

  /** The job that runs, or waits longest, and how many there are. */
  current(): { entry: OnDesk | undefined; count: number } {
    const entries = [...this.#jobs.values()].filter(({ status }) => !isOver(status.state));
    const entry = entries.find(({ status }) => status.state === "running") ?? entries[0];
    return { entry, count: entries.length };
  }

  /** Ends what runs of this API's jobs; other APIs' jobs are not its own to end. */
  async stop(how: "interrupted" | "skipped"): Promise<void> {
    const { entry } = this.current();
    if (!entry) return;
    entry.stopped = how;
    await this.#queue.cancel(entry.status.id);
  }
}

function note(entry: OnDesk, event: JobEvent): void {
  switch (event.type) {
    case "state":
      entry.status = event.job;
      break;
    case "step": {
      const { step, total, secondsLeft } = event;
      entry.status = { ...entry.status, step, total, secondsLeft };
      break;
    }
    case "preview":
      entry.preview = event.bytes;
      break;
    case "image":
      entry.status = { ...entry.status, images: [...entry.status.images, event.image] };
      break;
    default:
      event satisfies never;
  }
}
