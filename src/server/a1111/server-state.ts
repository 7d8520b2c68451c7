/**
 * @file The state that AUTOMATIC1111's API has once per server: the running job, its last preview, global options. It is
 * kept with the jobs, so that several servers of one queue are one server to clients.
 */

import type { JobRequest } from "../../jobs/processor.js";
import type { JobQueue, JobStatus } from "../../jobs/queue.js";
import type { ClientTracker } from "../client-tracker.js";
import type { GlobalOptions } from "./request.js";

/** Marks the jobs of this API. */
const api = "a1111";

export class ServerState {
  readonly #queue: JobQueue;
  readonly #clients: ClientTracker;

  constructor(queue: JobQueue, clients: ClientTracker) {
    this.#queue = queue;
    this.#clients = clients;
  }

  /** The options as they were last set, at any server. */
  async globalOptions(): Promise<GlobalOptions> {
    const text = await this.#queue.shared(`${api}:options`);
    return text === undefined ? {} : (JSON.parse(text) as GlobalOptions);
  }

  async set(globalOptions: GlobalOptions): Promise<void> {
    await this.#queue.share(`${api}:options`, JSON.stringify(globalOptions));
  }

  /** Generates a job that `current` gives while it runs. An interrupted job returns its finished images, as in A1111. */
  async generate(request: JobRequest, signal: AbortSignal): Promise<JobStatus> {
    const job = await this.#clients.submitAttended(request, api);
    try {
      return await this.#clients.outcome(job, signal);
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

  /** Cancels the running job of this API; jobs of other APIs go on. */
  async stop(how: "interrupted" | "skipped"): Promise<void> {
    const { job } = await this.current();
    if (job) await this.#queue.cancel(job.id, how);
  }
}
