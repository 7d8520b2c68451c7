/**
 * @file What AUTOMATIC1111's API has one of per server: the job that runs, its last preview, the chosen model. All of it
 * is kept with the jobs, so that several servers of the same jobs are one to its clients.
 */

import type { JobRequest } from "../../jobs/processor.js";
import type { JobQueue, JobStatus } from "../../jobs/queue.js";
import type { ClientTracker } from "../client-tracker.js";
import type { GlobalOptions } from "./request.js";

/** Whose jobs they are. */
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

  /** Generates while this API's clients can ask about it. An interrupted job gives what is finished, as A1111 does. */
  async generate(request: JobRequest, signal: AbortSignal): Promise<JobStatus> {
    const job = await this.#clients.attend(request, api);
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

  /** Ends what runs of this API's jobs; other APIs' jobs are not its own to end. */
  async stop(how: "interrupted" | "skipped"): Promise<void> {
    const { job } = await this.current();
    if (job) await this.#queue.cancel(job.id, how);
  }
}
