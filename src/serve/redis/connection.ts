/** @file Connections to Redis, and listening to its channels over one of them. Must not know jobs. */

import { Redis } from "ioredis";
import { InvalidRequest } from "../../errors.js";

/** A server answers its clients soon, with an error if need be; a worker waits for Redis to come back. */
export type Patience = "answers" | "waits";

export function connect(url: string, patience: Patience, onError: (error: Error) => void): Redis {
  checkUrl(url);
  const redis = new Redis(url, {
    maxRetriesPerRequest: patience === "waits" ? null : 2,
    retryStrategy: (times) => Math.min(100 * times, 2000),
  });
  redis.on("error", onError);
  return redis;
}

/** InvalidRequest for what is no address of a Redis. */
export function checkUrl(url: string): void {
  const rule = "must be an address such as redis://127.0.0.1:6379";
  if (!URL.canParse(url)) throw new InvalidRequest("--redis", url, `${rule}, got "${url}".`);
  // The password is in it, so only the protocol is repeated.
  const { protocol } = new URL(url);
  if (!["redis:", "rediss:"].includes(protocol))
    throw new InvalidRequest("--redis", protocol, `${rule}, got the protocol "${protocol}".`);
}

/** The address without its user and password. */
export function placeOf(url: string): string {
  const { protocol, host, pathname } = new URL(url);
  return `${protocol}//${host}${pathname}`;
}

/** Waits for the first answer. InvalidRequest when none comes in time. */
export async function reachable(redis: Redis, url: string, seconds = 10): Promise<void> {
  let last: Error | undefined;
  const note = (error: Error) => {
    last = error;
  };
  redis.on("error", note);
  const late = new Promise<"late">((resolve) => {
    setTimeout(resolve, seconds * 1000, "late").unref();
  });
  for (;;) {
    const answer = await Promise.race([redis.ping().catch((error: Error) => error), late]);
    if (answer === "PONG") break;
    if (answer !== "late" && isDown(answer as Error)) continue;
    const why = (last ?? (answer instanceof Error ? answer : undefined))?.message || "no answer";
    redis.disconnect();
    const rule = `must answer at ${placeOf(url)}, got ${why}. Start it (redis-server) or correct the address.`;
    throw new InvalidRequest("--redis", placeOf(url), rule);
  }
  redis.off("error", note);
}

/** Whether an error says that Redis cannot be reached, rather than that it was asked for something wrong. */
export function isDown(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  const { name, message, code = "" } = error as NodeJS.ErrnoException;
  if (name === "MaxRetriesPerRequestError") return true;
  return down.test(`${code} ${message}`);
}

const down =
  /connection is closed|stream isn't writeable|LOADING|ECONN|EPIPE|ETIMEDOUT|ENOTFOUND|EAI_AGAIN|EHOSTUNREACH/i;

export type Listener = (message: string) => void;

/** Many listeners on one connection. After an outage all of them are called with `missed`. */
export class Subscriptions {
  readonly #redis: Redis;
  readonly #listeners = new Map<string, Set<Listener>>();

  constructor(redis: Redis) {
    this.#redis = redis;
    redis.on("message", (channel: string, message: string) => {
      for (const listener of this.#listeners.get(channel) ?? []) listener(message);
    });
    redis.on("ready", () => {
      for (const listeners of this.#listeners.values()) for (const listener of listeners) listener(missed);
    });
  }

  /** Calls `listener` from now on; the function that is given back ends it. */
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

/** Given to listeners when messages may have been lost. */
export const missed = '{"type":"log"}';
