/** @file The job queue on Redis, at a server. Records and events are written by scripts.ts; BullMQ delivers jobs to workers. */

import { randomUUID } from "node:crypto";
import { setMaxListeners } from "node:events";
import type { Redis } from "ioredis";
import { mostWaitingBytes } from "../limits.js";
import type { ModelRegistry } from "../model-registry.js";
import type { JobRequest } from "../processor.js";
import {
  type Depth,
  Draining,
  type JobEvent,
  type JobQueue,
  type JobStatus,
  QueueFull,
  QueueUnreachable,
} from "../queue.js";
import { addressOf } from "./address.js";
import { AnnouncedModels } from "./announced-models.js";
import { BullQueues } from "./bull-queues.js";
import { connect, greet, type Listener, Subscriptions } from "./connection.js";
import { follow } from "./follow.js";
import { type Outage, outageOf, refusal, silence } from "./outage.js";
import { JobStore, type StoreOptions } from "./store.js";

export type RedisOptions = StoreOptions & {
  /** Jobs that may wait, of all servers together. */
  most?: number;
  /** Called when Redis was reached for the first time. */
  onOpen?: () => void;
  /** Called with every job that ended, at whichever server it was submitted. */
  onEnd?: (job: JobStatus) => void;
  /** Called with errors that no caller sees. */
  onError?: (error: unknown) => void;
};

const sweepSeconds = 5;

/** How long a start waits for Redis before it goes on without. */
const firstTrySeconds = 2;

/** How long Redis has to answer whether it is well. */
const answerMs = 500;

/** Ids come from clients and become parts of keys: "ID:log" must not be one. */
const isId = (id: string): boolean => /^[\da-f]{8}(-[\da-f]{4}){3}-[\da-f]{12}$/.test(id);

export async function redisQueue(url: string, options: RedisOptions = {}): Promise<JobQueue> {
  return (await redisQueueAndModels(url, new Map(), options)).queue;
}

/** The queue, and what can be generated: the server's own models and those that workers announce. */
export async function redisQueueAndModels(url: string, own: ModelRegistry, options: RedisOptions = {}) {
  const queue = new RedisQueue(url, own, options);
  await queue.open();
  return { queue: queue as JobQueue, models: queue.models.models };
}

class RedisQueue implements JobQueue {
  readonly #address: string;
  readonly #most: number;
  readonly #onOpen: () => void;
  readonly #onEnd: ((job: JobStatus) => void) | undefined;
  readonly #onError: (error: unknown) => void;
  readonly #redis: Redis;
  readonly #subscriptions: Subscriptions;
  readonly #store: JobStore;
  readonly models: AnnouncedModels;
  readonly #queues: BullQueues;
  /** How many event streams of each job there are at this server. */
  readonly #followed = new Map<string, number>();
  readonly #ending = new AbortController();
  #opening: Promise<void> = Promise.resolve();
  #isOpen = false;
  #sweeper: NodeJS.Timeout | undefined;
  #closing: Promise<void> | undefined;

  constructor(
    url: string,
    own: ModelRegistry,
    { most = 64, onOpen = () => {}, onEnd, onError = () => {}, ...options }: RedisOptions,
  ) {
    this.#most = most;
    this.#onOpen = onOpen;
    this.#onEnd = onEnd;
    this.#onError = onError;
    this.#redis = connect(url, "answers", onError);
    this.#address = addressOf(url);
    this.#subscriptions = new Subscriptions(connect(url, "waits", onError));
    this.#store = new JobStore(this.#redis, options);
    this.models = new AnnouncedModels(this.#store, own);
    this.#queues = new BullQueues(this.#redis, this.#store.prefix, onError);
    setMaxListeners(0, this.#ending.signal); // one for each that is followed
  }

  /** Does not wait for long where no Redis answers; InvalidRequest for one that refuses this server. */
  async open(): Promise<void> {
    this.#opening = this.#whenReached();
    this.#opening.catch((error: unknown) => void (this.#closing || this.#onError(error)));
    const late = idleSeconds(firstTrySeconds).then((): Outage => silence);
    const outage = await Promise.race([this.#opening.then(() => undefined, outageOf), late]);
    if (outage?.kind !== "refuses") return;
    await this.close({ graceSeconds: 0 });
    throw refusal(this.#address, outage);
  }

  async #whenReached(): Promise<void> {
    await greet(this.#redis, () => this.#closing !== undefined);
    if (this.#closing) return;
    const onEnded: Listener = ({ text: id }) => void this.#emitEnd(id);
    // This connection waits for Redis.
    if (this.#onEnd) await this.#subscriptions.listen(this.#store.key("ended"), onEnded);
    await this.models.open(this.#subscriptions, this.#onError);
    if (this.#closing) return;
    this.#sweeper = setInterval(() => void this.#sweep().catch(this.#onError), sweepSeconds * 1000);
    this.#sweeper.unref();
    this.#isOpen = true;
    this.#onOpen();
  }

  async opened(): Promise<void> {
    if (this.#isOpen || this.#closing) return;
    const outage = await this.#outage();
    if (outage) throw new QueueUnreachable(this.#address, outage.got);
    await this.#withOutages(() => this.#opening);
  }

  async submit(request: JobRequest, api = ""): Promise<JobStatus> {
    if (this.#closing) throw new Draining();
    return this.#withOutages(async () => {
      const id = randomUUID();
      const limits = { most: this.#most, mostBytes: mostWaitingBytes };
      const answer = await this.#store.submit(id, request, { ...limits, api });
      if (answer !== "ok") throw new QueueFull(this.#most, answer.full);
      const { model } = request.settings;
      try {
        await this.#store.withRoom(() => this.#queues.add(model, id));
      } catch (error) {
        // The client reads that it was not taken.
        await this.#store.cancel(id).catch(this.#onError);
        throw error;
      }
      await this.#redis.publish(this.#store.key("work", model), id);
      const taken = await this.#store.read(id);
      if (!taken) throw new QueueUnreachable(this.#address, "a Redis that lost its data");
      return taken.status;
    });
  }

  async get(id: string): Promise<JobStatus | undefined> {
    if (!isId(id)) return undefined;
    return this.#withOutages(async () => (await this.#store.read(id))?.status);
  }

  async list(): Promise<readonly JobStatus[]> {
    return this.#withOutages(async () => {
      const ids = await this.#store.ids();
      const found = await Promise.all(ids.map(async (id) => ({ id, job: await this.#store.read(id) })));
      for (const { id, job } of found) if (!job) await this.#store.forget(id);
      return found.flatMap(({ job }) => (job ? [job.status] : []));
    });
  }

  async live(): Promise<readonly JobStatus[]> {
    return this.#withOutages(async () => {
      const found = await Promise.all((await this.#store.live()).map((id) => this.#store.read(id)));
      const jobs = found.flatMap((job) => (job ? [job.status] : []));
      return jobs.sort((a, b) => a.createdAt - b.createdAt);
    });
  }

  async cancel(id: string, how = ""): Promise<JobStatus | undefined> {
    if (!isId(id)) return undefined;
    return this.#withOutages(async () => {
      const now = await this.#store.cancel(id, how);
      const status = (await this.#store.read(id))?.status;
      // A worker that took it meanwhile finds it over and drops it.
      if (now === "over" && status) await this.#queues.remove(status.settings.model, id);
      return status;
    });
  }

  async *events(id: string, signal?: AbortSignal): AsyncGenerator<JobEvent, void> {
    if (!isId(id)) return;
    const either = signal ? AbortSignal.any([signal, this.#ending.signal]) : this.#ending.signal;
    this.#followed.set(id, (this.#followed.get(id) ?? 0) + 1);
    try {
      yield* follow(this.#store, this.#subscriptions, id, either);
    } catch (error) {
      throw this.#outageError(error);
    } finally {
      const left = this.#followed.get(id)! - 1;
      if (left > 0) this.#followed.set(id, left);
      else this.#followed.delete(id);
    }
  }

  async preview(id: string): Promise<Uint8Array | undefined> {
    return isId(id) ? this.#withOutages(() => this.#store.preview(id)) : undefined;
  }

  async shared(name: string): Promise<string | undefined> {
    return this.#withOutages(() => this.#store.shared(name));
  }

  async share(name: string, text: string): Promise<void> {
    return this.#withOutages(() => this.#store.share(name, text));
  }

  async image(id: string, index: number) {
    if (!isId(id)) return undefined;
    return this.#withOutages(() => this.#store.file(id, index));
  }

  async depth(): Promise<Depth> {
    return this.#withOutages(() => this.#store.depth());
  }

  async health(): Promise<{ ok: true } | { ok: false; reason: string }> {
    if (this.#closing) return { ok: false, reason: "stopping" };
    const outage = await this.#outage();
    return outage ? { ok: false, reason: `${outage.got} at ${this.#address}` } : { ok: true };
  }

  /** Whether a job could be put there now: a Redis that answers may still take nothing. */
  async #outage(): Promise<Outage | undefined> {
    const late = new Promise<Outage>((resolve) => {
      setTimeout(resolve, answerMs, silence).unref();
    });
    const write = this.#redis.set(this.#store.key("health"), "", "PX", 1000).then(
      () => undefined,
      (error: unknown) => {
        const outage = outageOf(error);
        if (outage) return outage;
        throw error;
      },
    );
    return Promise.race([late, write]);
  }

  close({ graceSeconds = 30 }: { graceSeconds?: number } = {}): Promise<void> {
    this.#closing ??= this.#close(graceSeconds);
    return this.#closing;
  }

  /** Workers go on without this server; it waits only for running jobs that clients follow here. */
  async #close(graceSeconds: number): Promise<void> {
    const end = Date.now() + graceSeconds * 1000;
    while (Date.now() < end && (await this.#runningFollowed().catch(() => false)))
      await new Promise((resolve) => setTimeout(resolve, 100));
    this.#ending.abort();
    clearInterval(this.#sweeper);
    this.models.close();
    await this.#queues.close().catch(this.#onError);
    this.#subscriptions.close();
    this.#redis.disconnect();
  }

  async #runningFollowed(): Promise<boolean> {
    const followed = await Promise.all([...this.#followed.keys()].map((id) => this.#store.read(id)));
    return followed.some((job) => job?.status.state === "running");
  }

  async #emitEnd(id: string): Promise<void> {
    try {
      const job = await this.#store.read(id);
      if (job) this.#onEnd?.(job.status);
    } catch (error) {
      this.#onError(error);
    }
  }

  /**
   * Puts back into BullMQ what is only in our records, since the server that took it died in between, and ends what
   * was cancelled after its worker died. Records expire by themselves, their entries in the lists do not.
   */
  async #sweep(): Promise<void> {
    for (const id of await this.#store.old()) await this.#store.forget(id);
    for (const id of await this.#store.live()) {
      const job = (await this.#store.read(id))?.status;
      if (!job) await this.#store.forget(id);
      else if (Date.now() - job.createdAt > 2 * sweepSeconds * 1000) {
        await this.#store.bury(id);
        await this.#queues.add(job.settings.model, id);
      }
    }
  }

  async #withOutages<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      throw this.#outageError(error);
    }
  }

  #outageError(error: unknown): unknown {
    const outage = outageOf(error);
    return outage ? new QueueUnreachable(this.#address, outage.got) : error;
  }
}

/**
 * Time in which this thread could have read an answer: in pieces, since a timer that comes due while modules are loaded
 * ends before what arrived meanwhile is read.
 */
async function idleSeconds(seconds: number): Promise<void> {
  for (let piece = 0; piece < 20 * seconds; piece++)
    await new Promise<void>((resolve) => void setTimeout(resolve, 50).unref());
}
