/** @file Connections to Redis, their outages, and subscriptions to channels. Independent of jobs. */

import { Redis } from "ioredis";
import { InvalidRequest } from "../../errors.js";

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

/** InvalidRequest for what is no address of a Redis. A password may be in it, so nothing of it is repeated. */
export function checkUrl(url: string): void {
  const refuse = (got: string, remedy: string) => {
    const rule = `must be an address such as redis://127.0.0.1:6379, got ${got}. ${remedy}`;
    throw new InvalidRequest("redis", undefined, rule);
  };
  const encode = "Write letters of a password such as @ : / ? # % as %40 %3A %2F %3F %23 %25.";
  if (!/^rediss?:\/\//i.test(url)) refuse("another beginning", "It begins with redis:// or rediss://.");
  if (!URL.canParse(url)) refuse("one that cannot be read", encode);
  const { username, password, pathname, search, hash } = new URL(url);
  // What follows such a letter in a password was taken for a path, and the password's start for the host.
  if (/@/.test(pathname + search + hash)) refuse("an @ behind the host", encode);
  if (!isEncoded(username) || !isEncoded(password)) refuse("a % that stands for no letter", encode);
}

function isEncoded(text: string): boolean {
  try {
    decodeURIComponent(text);
    return true;
  } catch {
    return false;
  }
}

/** The address without its user and password. */
export function addressOf(url: string): string {
  const { protocol, host, pathname } = new URL(url);
  return `${protocol}//${host}${pathname}`;
}

/** Why Redis does not do what a command says. */
export type Outage = {
  /** For messages: "no answer". */
  got: string;
  /** It does not answer, has no memory left, refuses this client, or will be able to later. */
  kind: "silent" | "full" | "refuses" | "later";
};

export const silence: Outage = { kind: "silent", got: "no answer" };

const outages: readonly (Outage & { pattern: RegExp })[] = [
  { pattern: /\bOOM command not allowed/, kind: "full", got: "a Redis that is full (maxmemory)" },
  { pattern: /\bMISCONF\b/, kind: "later", got: "a Redis that cannot write to its disk (MISCONF)" },
  { pattern: /\bREADONLY\b/, kind: "later", got: "a replica, which takes no writes (READONLY)" },
  {
    pattern: /\b(EMFILE|ENFILE)\b/,
    kind: "later",
    got: "no connection, as too many files are open (EMFILE)",
  },
  { pattern: /\bLOADING\b/, kind: "later", got: "a Redis that still reads its data (LOADING)" },
  { pattern: /\bBUSY\b/, kind: "later", got: "a Redis that is held up by a script (BUSY)" },
  { pattern: /max number of clients/, kind: "later", got: "a Redis that has as many clients as it takes" },
  { pattern: /\b(MASTERDOWN|NOREPLICAS)\b/, kind: "later", got: "a Redis that waits for another Redis" },
  { pattern: /\bNOAUTH\b/, kind: "refuses", got: "a Redis that asks for a password (NOAUTH)" },
  { pattern: /\bWRONGPASS\b/, kind: "refuses", got: "a Redis that refuses the user or password (WRONGPASS)" },
  { pattern: /\bNOPERM\b/, kind: "refuses", got: "a Redis that does not let this user do it (NOPERM)" },
  { pattern: /DB index is out of range/, kind: "refuses", got: "a Redis that has no such database" },
  { pattern: /certificate|\bCERT_/i, kind: "refuses", got: "a Redis whose certificate is not trusted" },
  { pattern: /\b(MOVED|CROSSSLOT|CLUSTERDOWN)\b/, kind: "refuses", got: "a Cluster, which is not supported" },
  // ioredis, of the answer's first byte: a web server's is the H of HTTP.
  { pattern: /Unknown RESP type/, kind: "refuses", got: "an answer that is not Redis's" },
  {
    pattern: /connection is closed|stream isn't writeable|\bE(CONN|PIPE|TIMEDOUT|NOTFOUND|AI_AGAIN)/i,
    ...silence,
  },
  { pattern: /\bE(HOST|NET)UNREACH|ERR_SSL/, ...silence },
];

/** The outage behind an error; undefined for a wrong command. */
export function outageOf(error: unknown): Outage | undefined {
  if (!(error instanceof Error)) return undefined;
  const { name, message, code = "" } = error as NodeJS.ErrnoException;
  if (name === "MaxRetriesPerRequestError") return silence;
  // Of a transaction, the errors of its commands say why.
  const { previousErrors = [] } = error as { previousErrors?: readonly Error[] };
  const text = [code, message, ...previousErrors.map((previous) => previous.message)].join(" ");
  return outages.find(({ pattern }) => pattern.test(text));
}

/** The error of a start at a Redis that refuses it. */
export function refusal(address: string, { got }: Outage): InvalidRequest {
  return new InvalidRequest(
    "redis",
    address,
    `must take jobs at ${address}, got ${got}. Correct the address.`,
  );
}

/**
 * The first command: rejects where Redis refuses this client or lacks its database, for which ioredis would take 0, and
 * where the address is another service's. Of that only the connection's error says so: ioredis connects again, and the
 * command waits or ends as unanswered.
 */
export async function greet(redis: Redis): Promise<void> {
  let onError: (error: Error) => void = () => {};
  const refused = new Promise<never>((_, reject) => {
    onError = (error) => {
      if (outageOf(error)?.kind === "refuses") reject(error);
    };
    redis.on("error", onError);
  });
  try {
    await Promise.race([redis.select(redis.options.db ?? 0), refused]);
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

export const isFull = (error: unknown): boolean => outageOf(error)?.kind === "full";

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
