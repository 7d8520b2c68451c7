/**
 * @file A worker: takes jobs of its models from Redis, generates them one batch after the other, reports their events.
 *
 * Jobs are fetched by `getNextJob`, not by BullMQ's loop: one processor serves the queues of several models and must not
 * hold a job of one while it generates another's. BullMQ delivers jobs, holds their locks, and finds those whose worker
 * died; the state of a job is in our records (scripts.ts), which are read before and written after.
 */

import { randomUUID } from "node:crypto";
import { hostname } from "node:os";
import { type ConnectionOptions, type Job, Worker } from "bullmq";
import type { Redis } from "ioredis";
import type { ModelRegistry } from "../model-registry.js";
import type { JobProcessor } from "../processor.js";
import { addressOf } from "./address.js";
import { announce, leave, shareOf } from "./announced-models.js";
import { queueName } from "./bull-queues.js";
import { connect, greet, Subscriptions, whenItCan } from "./connection.js";
import { isFull, outageOf, refusal } from "./outage.js";
import { beginJob, type Outcome, reportJob, type WorkerJob } from "./process-job.js";
import { JobStore, type StoreOptions } from "./store.js";
import { type TakenJob, takeBatch } from "./take-batch.js";

export type WorkerOptions = StoreOptions & {
  onJob?: (id: string, outcome: Outcome) => void;
  onError?: (error: unknown) => void;
};

/** Another worker may take a job whose lock is this old; it is renewed four times as often. */
const lockSeconds = 8;
const stalledSeconds = 2;
const announceSeconds = 5;
/** Jobs are looked for this often without a message: one may be lost, and none comes when a retry is due. */
const lookMs = 1000;

export class JobWorker {
  readonly id = `${hostname()}-${process.pid}-${randomUUID().slice(0, 8)}`;
  readonly #processor: JobProcessor;
  readonly #models: ModelRegistry;
  readonly #options: Required<Pick<WorkerOptions, "onJob" | "onError">>;
  readonly #redis: Redis;
  readonly #address: string;
  readonly #subscriptions: Subscriptions;
  readonly #store: JobStore;
  /** By model. */
  readonly #queues: ReadonlyMap<string, Worker>;
  readonly #stopping = new AbortController();
  readonly #held = new Map<string, { controller: AbortController; renewal: NodeJS.Timeout }>();
  #releases = false;
  #takes = 0;
  /** Whether a message came since the queues were last looked at. */
  #signed = false;
  #wake: () => void = () => {};
  #timer: NodeJS.Timeout | undefined;
  #work: Promise<void> | undefined;

  constructor(url: string, processor: JobProcessor, models: ModelRegistry, options: WorkerOptions = {}) {
    const { onJob = () => {}, onError = () => {}, ...rest } = options;
    this.#processor = processor;
    this.#models = models;
    this.#options = { onJob, onError };
    this.#redis = connect(url, "waits", onError);
    this.#address = addressOf(url);
    this.#subscriptions = new Subscriptions(connect(url, "waits", onError));
    this.#store = new JobStore(this.#redis, rest);
    this.#queues = new Map(processor.models.map(({ id }) => [id, this.#worker(id)]));
  }

  /** InvalidRequest where Redis refuses this worker; where it does not answer, this waits. */
  async start(): Promise<void> {
    try {
      await this.#start();
    } catch (error) {
      const outage = outageOf(error);
      throw outage?.kind === "refuses" ? refusal(this.#address, outage) : error;
    }
  }

  async #start(): Promise<void> {
    const [store, subscriptions] = [this.#store, this.#subscriptions];
    await greet(this.#redis);
    await subscriptions.listen(store.key("cancel"), ({ text: id }) =>
      this.#held.get(id)?.controller.abort("cancelled"),
    );
    for (const { id } of this.#processor.models)
      await subscriptions.listen(store.key("work", id), () => this.#sign());
    const emit = () => announce(this.#store, this.id, this.#models);
    await whenItCan(emit, this.#options.onError);
    this.#timer = setInterval(() => void emit().catch(this.#options.onError), announceSeconds * 1000);
    for (const queue of this.#queues.values()) await queue.startStalledCheckTimer();
    this.#work = this.#loop();
  }

  /** Takes no more jobs, waits `graceSeconds` for the running one, then releases it. */
  async close({ graceSeconds = 30 }: { graceSeconds?: number } = {}): Promise<void> {
    this.#stopping.abort();
    this.#sign();
    const timer = setTimeout(() => {
      this.#releases = true;
      for (const { controller } of this.#held.values()) controller.abort("released");
    }, graceSeconds * 1000);
    await this.#work;
    clearTimeout(timer);
    clearInterval(this.#timer);
    await leave(this.#store, this.id, this.#models).catch(this.#options.onError);
    await Promise.all([...this.#queues.values()].map((queue) => queue.close()));
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
      // The record counts how often a job was begun, and fails it with the reason; BullMQ must not fail it first.
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

  /** Jobs of each model in turn, so that none waits for all of another's. */
  async #turn(): Promise<boolean> {
    let any = false;
    for (const [model, queue] of this.#queues) {
      if (this.#stopping.signal.aborted) return any;
      const taken = await takeBatch(
        () => this.#take(queue),
        () => shareOf(this.#store, model),
      );
      any ||= taken.length > 0;
      await this.#process(taken);
    }
    return any;
  }

  async #take(queue: Worker): Promise<TakenJob | undefined> {
    const token = `${this.id}/${this.#takes++}`;
    const job: Job | undefined = await queue.getNextJob(token, { block: false });
    return job && { job, token, request: await this.#store.request(job.id!) };
  }

  async #process(taken: readonly TakenJob[]): Promise<void> {
    const held = taken.map((job) => ({ ...job, controller: this.#hold(job) }));
    try {
      const begun = await Promise.all(held.map((job) => beginJob(job, this.#store)));
      for (const [i, { job }] of held.entries()) if (!begun[i]) this.#options.onJob(job.id!, "over");
      await this.#processBatch(held.filter((_, i) => begun[i]));
    } finally {
      for (const { job } of held) this.#release(job.id!);
    }
  }

  async #processBatch(batch: readonly WorkerJob[]): Promise<void> {
    if (batch.length === 0) return;
    const { onJob, onError } = this.#options;
    const jobs = batch.map(({ request, controller }) => ({ request: request!, signal: controller.signal }));
    const streams = this.#processor.process(jobs);
    const reports = batch.map(async (job, i) => {
      onJob(job.job.id!, await reportJob(job, streams[i]!, { store: this.#store, onError }));
    });
    for (const result of await Promise.allSettled(reports))
      if (result.status === "rejected") onError(result.reason);
  }

  /** Keeps a job's lock until it is let go. */
  #hold({ job, token }: TakenJob): AbortController {
    const controller = new AbortController();
    const renewal = setInterval(() => void this.#renew(job, token, controller), (lockSeconds * 1000) / 4);
    this.#held.set(job.id!, { controller, renewal });
    // Taken while the worker was being stopped.
    if (this.#releases) controller.abort("released");
    return controller;
  }

  #release(id: string): void {
    clearInterval(this.#held.get(id)?.renewal);
    this.#held.delete(id);
  }

  async #renew(job: Job, token: string, controller: AbortController): Promise<void> {
    try {
      if ((await job.extendLock(token, lockSeconds * 1000)) === 0) controller.abort("lost");
    } catch (error) {
      // A full Redis refuses to write what BullMQ writes; that the lock lives on takes no room.
      const lock = `${job.queueQualifiedName}:${job.id}:lock`;
      if (isFull(error)) await this.#redis.pexpire(lock, lockSeconds * 1000).catch(() => {});
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
