/** @file Connections to Redis, and subscriptions to channels. Independent of jobs. */

import { Redis } from "ioredis";
import { checkUrl } from "./address.js";
import { outageOf } from "./outage.js";

/** A server answers its clients soon, with an error if need be; a worker waits for Redis to come back. */
export type Patience = "answers" | "waits";

export function connect(url: string, patience: Patience, onError: (error: Error) => void): Redis {
  checkUrl(url);
  const redis = new Redis(url, {
    maxRetriesPerRequest: patience === "waits" ? null : 2,
    retryStrategy: (times) => Math.min(100 * times, patience === "waits" ? 2000 : 500),
  });
  redis.on("error", onError);
  return redis;
}

/**
 * The first command, repeated until Redis answers or `isOver`: rejects where Redis refuses this client or lacks its
 * database, for which ioredis would take 0, and where the address is another service's. Of that only the connection's
 * errors say so, at any time: ioredis connects again, and the command waits or ends as unanswered.
 */
export async function greet(redis: Redis, isOver: () => boolean = () => false): Promise<void> {
  let onError: (error: Error) => void = () => {};
  const refused = new Promise<never>((_, reject) => {
    onError = (error) => {
      if (outageOf(error)?.kind === "refuses") reject(error);
    };
    redis.on("error", onError);
  });
  const select = async () => void (isOver() || (await redis.select(redis.options.db ?? 0)));
  try {
    await Promise.race([whenItCan(select, () => {}), refused]);
  } finally {
    redis.off("error", onError);
  }
}

/** Repeats `work` while an outage lasts, but not for a Redis that refuses this client. */
export async function whenItCan<T>(work: () => Promise<T>, onOutage: (error: unknown) => void): Promise<T> {
  for (;;) {
    try {
      return await work();
    } catch (error) {
      const outage = outageOf(error);
      if (!outage || outage.kind === "refuses") throw error;
      onOutage(error);
      await new Promise((resolve) => setTimeout(resolve, 1000).unref());
    }
  }
}

/** A message of a channel, parsed once for all who listen. */
class Message {
  readonly text: string;
  #value: unknown;

  constructor(text: string) {
    this.text = text;
  }

  get value(): unknown {
    this.#value ??= JSON.parse(this.text);
    return this.#value;
  }
}

export type Listener = (message: Message) => void;

/** Many listeners on one connection. After an outage all of them are called with `missed`. */
export class Subscriptions {
  readonly #redis: Redis;
  readonly #listeners = new Map<string, Set<Listener>>();

  constructor(redis: Redis) {
    this.#redis = redis;
    redis.on("message", (channel: string, text: string) => {
      const message = new Message(text);
      for (const listener of this.#listeners.get(channel) ?? []) listener(message);
    });
    redis.on("ready", () => {
      for (const listeners of this.#listeners.values()) for (const listener of listeners) listener(missed);
    });
  }

  /** Calls `listener` from now on, until the returned function is called. */
  async listen(channel: string, listener: Listener): Promise<() => void> {
    const listeners = this.#listeners.get(channel) ?? new Set();
    this.#listeners.set(channel, listeners.add(listener));
    // Also when others listen already: their SUBSCRIBE may still be on its way, and ours is answered after it.
    await this.#redis.subscribe(channel);
    return () => {
      listeners.delete(listener);
      if (listeners.size > 0 || this.#listeners.get(channel) !== listeners) return;
      this.#listeners.delete(channel);
      this.#redis.unsubscribe(channel).catch(() => {}); // a closed connection has no subscriptions
    };
  }

  close(): void {
    this.#redis.disconnect();
  }
}

/** Sent to listeners when messages may have been lost. */
export const missed = new Message('{"type":"log"}');
