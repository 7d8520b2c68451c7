/**
 * @file A worker: takes jobs of its models from Redis, paints them one after the other, tells what happens.
 *
 * Jobs are fetched by hand and not by BullMQ's loop, since one painter serves the queues of several models and must not
 * hold a job of one while it paints another's. BullMQ deals jobs out, holds their locks, and finds those whose worker
 * died; what a job is and whether it is over is in our records (scripts.ts), which are asked before and after.
 */

import { randomUUID } from "node:crypto";
import { hostname } from "node:os";
import { type ConnectionOptions, type Job, Worker } from "bullmq";
import type { Redis } from "ioredis";
import type { Catalogue } from "../catalogue.js";
import type { PainterService } from "../paint.js";
import { connect, Subscriptions } from "./connection.js";
import { announce, leave } from "./models.js";
import { type Outcome, paintJob } from "./paint-job.js";
import { queueName } from "./paint-queues.js";
import { JobStore, type StoreOptions } from "./store.js";

export type WorkerOptions = StoreOptions & {
  onJob?: (id: string, outcome: Outcome) => void;
  onError?: (error: unknown) => void;
};

/** A job whose lock is this old is another's to take; it is renewed four times as often. */
const lockSeconds = 8;
const stalledSeconds = 2;
const announceSeconds = 5;
/** Looked for without a sign: a sign may be lost, and no one gives one when a retry is due. */
const lookMs = 1000;

export class JobWorker {
  readonly id = `${hostname()}-${process.pid}-${randomUUID().slice(0, 8)}`;
  readonly #painter: PainterService;
  readonly #catalogue: Catalogue;
  readonly #options: Required<Pick<WorkerOptions, "onJob" | "onError">>;
  readonly #redis: Redis;
  readonly #subscriptions: Subscriptions;
  readonly #store: JobStore;
  readonly #workers: readonly Worker[];
  readonly #stopping = new AbortController();
  readonly #running = new Map<string, AbortController>();
  #takes = 0;
  /** Whether something happened since the queues were last looked at. */
  #signed = false;
  #wake: () => void = () => {};
  #timer: NodeJS.Timeout | undefined;
  #work: Promise<void> | undefined;

  constructor(url: string, painter: PainterService, catalogue: Catalogue, options: WorkerOptions = {}) {
    const { onJob = () => {}, onError = () => {}, ...rest } = options;
    this.#painter = painter;
    this.#catalogue = catalogue;
    this.#options = { onJob, onError };
    this.#redis = connect(url, "waits", onError);
    this.#subscriptions = new Subscriptions(connect(url, "waits", onError));
    this.#store = new JobStore(this.#redis, rest);
    this.#workers = painter.models.map(({ id }) => this.#worker(id));
  }

  async start(): Promise<void> {
    const [store, subscriptions] = [this.#store, this.#subscriptions];
    await subscriptions.listen(store.key("cancel"), (id) => this.#running.get(id)?.abort("cancelled"));
    for (const { id } of this.#painter.models)
      await subscriptions.listen(store.key("work", id), () => this.#sign());
    const tell = () => announce(this.#store, this.id, this.#catalogue);
    await tell();
    this.#timer = setInterval(() => void tell().catch(this.#options.onError), announceSeconds * 1000);
    for (const worker of this.#workers) await worker.startStalledCheckTimer();
    this.#work = this.#loop();
  }

  /** Takes no more jobs, gives the running one `graceSeconds`, then hands it back. */
  async close({ graceSeconds = 30 }: { graceSeconds?: number } = {}): Promise<void> {
    this.#stopping.abort();
    this.#sign();
    const hurry = setTimeout(() => {
      for (const controller of this.#running.values()) controller.abort("released");
    }, graceSeconds * 1000);
    await this.#work;
    clearTimeout(hurry);
    clearInterval(this.#timer);
    await leave(this.#store, this.id).catch(this.#options.onError);
    await Promise.all(this.#workers.map((worker) => worker.close()));
    this.#subscriptions.close();
    this.#redis.disconnect();
  }

  #worker(model: string): Worker {
    const worker = new Worker(queueName(model), null, {
      connection: this.#redis as unknown as ConnectionOptions,
      prefix: this.#store.prefix,
      autorun: false,
      lockDuration: lockSeconds * 1000,
      stalledInterval: stalledSeconds * 1000,
      // Our record counts how often a job was begun, and says so when it gives up; BullMQ must not do it first.
      maxStalledCount: 1000,
    });
    worker.on("error", this.#options.onError);
    return worker;
  }

  async #loop(): Promise<void> {
    while (!this.#stopping.signal.aborted) {
      this.#signed = false;
      const any = await this.#turn().catch(this.#options.onError);
      if (!any && !this.#signed) await this.#idle();
    }
  }

  /** One job of each model in turn, so that none waits for all of another's. */
  async #turn(): Promise<boolean> {
    let any = false;
    for (const worker of this.#workers) {
      if (this.#stopping.signal.aborted) return any;
      const token = `${this.id}/${this.#takes++}`;
      const job: Job | undefined = await worker.getNextJob(token, { block: false });
      if (!job) continue;
      any = true;
      await this.#do(job, token);
    }
    return any;
  }

  async #do(job: Job, token: string): Promise<void> {
    const id = job.id!;
    const controller = new AbortController();
    this.#running.set(id, controller);
    const renew = setInterval(() => void this.#renew(job, token, controller), (lockSeconds * 1000) / 4);
    try {
      const context = { store: this.#store, painter: this.#painter, onError: this.#options.onError };
      this.#options.onJob(id, await paintJob(job, token, controller, context));
    } finally {
      clearInterval(renew);
      this.#running.delete(id);
    }
  }

  async #renew(job: Job, token: string, controller: AbortController): Promise<void> {
    try {
      if ((await job.extendLock(token, lockSeconds * 1000)) === 0) controller.abort("lost");
    } catch (error) {
      this.#options.onError(error);
    }
  }

  #sign(): void {
    this.#signed = true;
    this.#wake();
  }

  #idle(): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, lookMs);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}
