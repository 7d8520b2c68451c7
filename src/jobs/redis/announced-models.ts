/** @file The models that workers announce in Redis, and a server's registry of them, which changes. */

import type { Redis } from "ioredis";
import { schedulerFromConfig } from "../../diffusion/schedulers/registry.js";
import type { ModelRegistry, ServedModel } from "../model-registry.js";
import type { Model } from "../model-schemas.js";
import { type Subscriptions, whenItCan } from "./connection.js";
import type { JobStore } from "./store.js";
import { offeredTokenizers, offerTokenizers } from "./tokenizers.js";

/** What a server needs to check requests: all of a ServedModel that is no path. */
type Announcement = {
  info: Model;
  scheduler: { className: string; config: Record<string, unknown> };
  bytes: number;
};

/** A worker counts as alive for this long after its last announcement. */
const aliveSeconds = 12;

/** Without any worker a model's jobs are still taken for this long: workers are restarted, machines too. */
const knownMs = 3_600_000;

export async function announce(store: JobStore, worker: string, registry: ModelRegistry): Promise<void> {
  await offerTokenizers(store, registry);
  const [models, seen] = [store.key("models"), store.key("models", "seen")];
  const write = store.redis.multi().set(store.key("worker", worker), "", "EX", aliveSeconds);
  for (const [id, { info, scheduler, bytes }] of registry) {
    const { className, config } = scheduler;
    const announcement: Announcement = { info, scheduler: { className, config: { ...config } }, bytes };
    write.hset(models, id, JSON.stringify(announcement)).zadd(seen, Date.now(), id);
    write.zadd(store.key("workers", id), Date.now(), worker);
  }
  await write.publish(models, "").exec();
}

export async function leave(store: JobStore, worker: string, models: ModelRegistry): Promise<void> {
  const write = store.redis.multi().del(store.key("worker", worker));
  for (const id of models.keys()) write.zrem(store.key("workers", id), worker);
  await write.exec();
}

/** How many of a model's waiting jobs one of its workers may take, so that each gets some. */
export async function shareOf(store: JobStore, model: string): Promise<number> {
  const workers = store.key("workers", model);
  await store.redis.zremrangebyscore(workers, 0, Date.now() - aliveSeconds * 1000);
  const [alive, waiting] = await Promise.all([
    store.redis.zcard(workers),
    store.redis.zcard(store.key("waiting", model)),
  ]);
  return Math.ceil(waiting / Math.max(1, alive));
}

/** What is announced, after the server's own; keeps itself up to date until it is closed. */
export class AnnouncedModels {
  readonly models: ModelRegistry;
  readonly #models: Map<string, ServedModel>;
  readonly #own: ReadonlySet<string>;
  readonly #texts = new Map<string, string>();
  readonly #store: JobStore;
  #stop: () => void = () => {};

  constructor(store: JobStore, own: ModelRegistry = new Map()) {
    this.#store = store;
    this.#own = new Set(own.keys());
    this.#models = new Map(own);
    this.models = this.#models;
  }

  async open(subscriptions: Subscriptions, onError: (error: unknown) => void): Promise<void> {
    const look = () => void this.look().catch(onError);
    const stop = await subscriptions.listen(this.#store.key("models"), look);
    const timer = setInterval(look, 60_000).unref();
    this.#stop = () => {
      stop();
      clearInterval(timer);
    };
    await whenItCan(() => this.look(), onError);
  }

  close(): void {
    this.#stop();
  }

  async look(): Promise<void> {
    const { redis } = this.#store;
    const texts = await allOf(redis, this.#store.key("models"), this.#store.key("models", "seen"));
    for (const id of this.#texts.keys()) {
      if (texts.has(id)) continue;
      this.#texts.delete(id);
      this.#models.delete(id);
    }
    for (const [id, text] of texts) {
      if (this.#own.has(id) || this.#texts.get(id) === text) continue;
      this.#texts.set(id, text);
      this.#models.set(id, servedFrom(JSON.parse(text) as Announcement, this.#store));
    }
  }
}

async function allOf(redis: Redis, models: string, seen: string): Promise<Map<string, string>> {
  const ids = await redis.zrangebyscore(seen, Date.now() - knownMs, "+inf");
  if (ids.length === 0) return new Map();
  const texts = await redis.hmget(models, ...ids.sort());
  return new Map(ids.flatMap((id, i) => (texts[i] ? [[id, texts[i]] as const] : [])));
}

function servedFrom({ info, scheduler, bytes }: Announcement, store: JobStore): ServedModel {
  const own = schedulerFromConfig(scheduler.config, {}, scheduler.className);
  const tokenLimits = () => offeredTokenizers(store, info.id, info.embeddings);
  return {
    info,
    folder: "",
    load: {},
    ...{ place: {}, safety: {} },
    scheduler: own,
    bytes,
    loras: new Map(),
    embeddings: [],
    tokenLimits,
  };
}
