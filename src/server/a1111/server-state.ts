/**
 * @file What AUTOMATIC1111's API has one of per server: the job that runs, its last preview, the chosen model. All of it
 * is kept with the jobs, so that several servers of the same jobs are one to its clients.
 */

import type { Order } from "../../jobs/processor.js";
import type { JobQueue, JobStatus } from "../../jobs/queue.js";
import type { Audience } from "../client-tracker.js";
import type { Standing } from "./request.js";

/** Whose jobs they are. */
const api = "a1111";

export class Desk {
  readonly #queue: JobQueue;
  readonly #audience: Audience;

  constructor(queue: JobQueue, audience: Audience) {
    this.#queue = queue;
    this.#audience = audience;
  }

  /** The options as they were last set, at any server. */
  async standing(): Promise<Standing> {
    const text = await this.#queue.shared(`${api}:options`);
    return text === undefined ? {} : (JSON.parse(text) as Standing);
  }

  async set(standing: Standing): Promise<void> {
    await this.#queue.share(`${api}:options`, JSON.stringify(standing));
  }

  /** Paints while this API's clients can ask about it. An interrupted job gives what is finished, as A1111 does. */
  async paint(order: Order, signal: AbortSignal): Promise<JobStatus> {
    const job = await this.#audience.attend(order, api);
    try {
      return await this.#audience.outcome(job, signal);
    } catch (error) {
      const ended = await this.#queue.get(job.id);
      if (ended?.stopped) return ended;
      throw error;
    }
  }

  /** The job that runs, or waits longest, and how many there are. */
  async current(): Promise<{ job: JobStatus | undefined; count: number }> {
    const jobs = (await this.#queue.live()).filter((job) => job.api === api);
    return { job: jobs.find(({ state }) => state === "running") ?? jobs[0], count: jobs.length };
  }

  async preview({ id }: JobStatus): Promise<Uint8Array | undefined> {
    return this.#queue.preview(id);
  }

  /** Ends what runs of this API's jobs; other APIs' jobs are not its own to end. */
  async stop(how: "interrupted" | "skipped"): Promise<void> {
    const { job } = await this.current();
    if (job) await this.#queue.cancel(job.id, how);
  }
}
