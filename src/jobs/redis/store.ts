/** @file The records of jobs in Redis, shared by servers and workers, with types. */

import type { Redis } from "ioredis";
import { mostListed } from "../limits.js";
import type { FinishedImage, JobRequest, MediaType, ProcessorEvent } from "../processor.js";
import type { Depth, JobStatus } from "../queue.js";
import type { JobFailure, JobState } from "../schemas.js";
import { isFull } from "./outage.js";
import * as scripts from "./scripts.js";

export type RecordCheck = "go" | "cancelled" | "lost";

/** A job, and the last entry of its log that it includes. */
export type Snapshot = { status: JobStatus; at: string };

/** What changes in a job, as its log has it. */
export type LogEntry =
  | { type: "state"; change: Partial<JobStatus> & { state: JobState } }
  | { type: "image"; image: JobStatus["images"][number] };

/** What passes through a job's channel and is not kept. */
export type Live =
  | { type: "log" }
  | { type: "step"; step: number; total: number; secondsLeft: number | null }
  | { type: "preview"; index: number; step: number; mediaType: "image/jpeg" | "image/png"; base64: string };

export type StoreOptions = {
  /** Before every key. */
  prefix?: string;
  /** How long an ended job is remembered. */
  keepSeconds?: number;
};

type Argument = string | number | Buffer;

/** Clients that wait for a job have fetched its images this long after its end. */
const safeSeconds = 60;
const dropAtOnce = 8;

/** Times a job is begun before it is given up, since every worker that began it died. */
const mostStarts = 6;

const lost: JobFailure = {
  code: "lost",
  message: `worker: must live until its job ends, got ${mostStarts} that died generating it. See the workers' logs.`,
};

export class JobStore {
  readonly prefix: string;
  readonly redis: Redis;
  readonly #keep: number;

  constructor(redis: Redis, { prefix = "koala", keepSeconds = 3600 }: StoreOptions = {}) {
    this.redis = redis;
    this.prefix = prefix;
    this.#keep = keepSeconds;
  }

  key(...parts: readonly string[]): string {
    return [this.prefix, ...parts].join(":");
  }

  /** `full` where there is no room: the seconds that the running job has left, if known. */
  async submit(
    id: string,
    request: JobRequest,
    { most, mostBytes, api = "" }: { most: number; mostBytes: number; api?: string },
  ): Promise<"ok" | { full: number | null }> {
    const { settings, scheduler, previews, warnings, image = "", mask = "" } = request;
    const [answer, left = ""] = (await this.#run(scripts.submit, id, [
      most,
      mostBytes,
      settings.model,
      settings.steps * settings.count,
      JSON.stringify(settings),
      JSON.stringify(scheduler),
      String(previews),
      typeof image === "string" ? image : Buffer.from(image),
      typeof mask === "string" ? mask : Buffer.from(mask),
      JSON.stringify(warnings),
      api,
    ])) as string[];
    return answer === "ok" ? "ok" : { full: numberOf(left) };
  }

  async read(id: string): Promise<Snapshot | undefined> {
    const answer = (await this.#run(scripts.read, id, [])) as [] | [string[], string[], number, string];
    if (answer.length === 0) return undefined;
    const [fields, images, rank, at] = answer;
    return { status: statusOf(recordOf(fields), images, rank), at };
  }

  /** The latest. */
  async ids(): Promise<string[]> {
    return this.redis.zrevrange(this.key("jobs"), 0, mostListed - 1);
  }

  /** The oldest of those that may be forgotten by now. */
  async old(): Promise<string[]> {
    return this.redis.zrangebyscore(this.key("jobs"), 0, Date.now() - this.#keep * 1000, "LIMIT", 0, 200);
  }

  /** Those that wait or run. */
  async live(): Promise<string[]> {
    const [waiting, running] = await Promise.all(
      ["waiting", "running"].map((list) => this.redis.zrange(this.key(list), "0", "-1")),
    );
    return [...waiting!, ...running!];
  }

  async depth(): Promise<Depth> {
    const [queued, running] = await Promise.all(
      ["waiting", "running"].map((list) => this.redis.zcard(this.key(list))),
    );
    return { queued: queued!, running: running! };
  }

  async request(id: string): Promise<JobRequest | undefined> {
    const key = this.key("job", id);
    const fields = ["settings", "scheduler", "previews", "warnings"] as const;
    const [settings, scheduler, previews, warnings] = await this.redis.hmget(key, ...fields);
    if (!settings || !scheduler) return undefined;
    const [image, mask] = await this.redis.hmgetBuffer(`${key}:input`, "image", "mask");
    return {
      settings: JSON.parse(settings),
      scheduler: JSON.parse(scheduler),
      previews: previews === "true",
      warnings: JSON.parse(warnings!),
      ...(image && { image }),
      ...(mask && { mask }),
    };
  }

  async file(id: string, index: number): Promise<{ bytes: Uint8Array; mediaType: MediaType } | undefined> {
    const key = this.key("job", id);
    const json = await this.redis.hget(`${key}:images`, String(index));
    const bytes = json && (await this.redis.getBuffer(`${key}:file:${index}`));
    return bytes ? { bytes, mediaType: (JSON.parse(json) as { mediaType: MediaType }).mediaType } : undefined;
  }

  async exists(id: string): Promise<boolean> {
    return (await this.redis.exists(this.key("job", id))) === 1;
  }

  /** What happened after `at`. */
  async log(id: string, at: string): Promise<{ at: string; entry: LogEntry }[]> {
    const entries = await this.redis.xrange(this.key("job", id, "log"), `(${at}`, "+");
    return entries.map(([entryId, fields]) => ({ at: entryId, entry: entryOf(recordOf(fields)) }));
  }

  async begin(id: string, owner: string): Promise<"go" | "over"> {
    const args = [owner, mostStarts, JSON.stringify(lost), this.#keep];
    return (await this.#run(scripts.begin, id, args)) as "go" | "over";
  }

  /** Reports an event, if the job is still this owner's. */
  async report(id: string, owner: string, event: ProcessorEvent): Promise<RecordCheck> {
    switch (event.type) {
      case "step": {
        const { step, total, secondsLeft } = event;
        const args = [owner, JSON.stringify(event satisfies Live), step, total, secondsLeft ?? ""];
        return (await this.#run(scripts.report, id, args)) as RecordCheck;
      }
      case "preview": {
        const { bytes, ...rest } = event;
        const live: Live = { ...rest, base64: Buffer.from(bytes).toString("base64") };
        return (await this.#run(scripts.report, id, [owner, JSON.stringify(live)])) as RecordCheck;
      }
      case "image": {
        const { bytes, ...image } = event.image;
        const args = [owner, image.index, JSON.stringify(image), Buffer.from(bytes)];
        return (await this.#run(scripts.image, id, args)) as RecordCheck;
      }
      default:
        return event satisfies never;
    }
  }

  async end(id: string, owner: string, state: JobState, failure?: JobFailure): Promise<RecordCheck> {
    const args = [owner, state, failure ? JSON.stringify(failure) : "", this.#keep];
    return (await this.#run(scripts.end, id, args)) as RecordCheck;
  }

  /** Puts a job back to wait; `innocent` if the start must not be counted. */
  async release(id: string, owner: string, innocent: boolean): Promise<RecordCheck> {
    return (await this.#run(scripts.release, id, [owner, innocent ? 1 : 0, this.#keep])) as RecordCheck;
  }

  async cancel(id: string, how = ""): Promise<"gone" | "over" | "running"> {
    return (await this.#run(scripts.cancel, id, [this.#keep, how])) as "gone" | "over" | "running";
  }

  async bury(id: string): Promise<void> {
    await this.#run(scripts.bury, id, [this.#keep]);
  }

  async forget(id: string): Promise<void> {
    await this.#run(scripts.forget, id, [this.#keep]);
  }

  /** The last preview's bytes. */
  async preview(id: string): Promise<Uint8Array | undefined> {
    const message = await this.redis.get(this.key("job", id, "preview"));
    return message === null
      ? undefined
      : Buffer.from((JSON.parse(message) as Live & { type: "preview" }).base64, "base64");
  }

  async shared(name: string): Promise<string | undefined> {
    return (await this.redis.get(this.key("shared", name))) ?? undefined;
  }

  async share(name: string, text: string): Promise<void> {
    await this.withRoom(() => this.redis.set(this.key("shared", name), text));
  }

  /** Repeats work that a full Redis refuses, after forgetting the jobs that ended longest ago, as long as there are any. */
  async withRoom<T>(work: () => Promise<T>): Promise<T> {
    for (;;) {
      try {
        return await work();
      } catch (error) {
        if (!isFull(error) || (await this.#evaluate(scripts.drop, "", [safeSeconds, dropAtOnce])) === 0)
          throw error;
      }
    }
  }

  #run(script: scripts.Script, id: string, args: readonly Argument[]): Promise<unknown> {
    return this.withRoom(() => this.#evaluate(script, id, args));
  }

  async #evaluate(script: scripts.Script, id: string, args: readonly Argument[]): Promise<unknown> {
    try {
      return await this.redis.evalsha(script.sha, 0, this.prefix, id, ...args);
    } catch (error) {
      if (!(error instanceof Error && error.message.startsWith("NOSCRIPT"))) throw error;
      return this.redis.eval(script.lua, 0, this.prefix, id, ...args);
    }
  }
}

function recordOf(fields: readonly string[]): Record<string, string> {
  const record: Record<string, string> = {};
  for (let i = 0; i < fields.length; i += 2) record[fields[i]!] = fields[i + 1]!;
  return record;
}

function statusOf(record: Record<string, string>, images: readonly string[], rank: number): JobStatus {
  return {
    id: record.id!,
    position: rank < 0 ? null : rank + 1,
    total: Number(record.total),
    createdAt: Number(record.createdAt),
    settings: JSON.parse(record.settings!),
    api: record.api || null,
    images: images.map((json) => JSON.parse(json)).sort((a, b) => a.index - b.index),
    warnings: JSON.parse(record.warnings!),
    ...changeOf({ error: "", finishedAt: "", ...record }),
  };
}

const numberOf = (text: string): number | null => (text === "" ? null : Number(text));

/** The fields that change, of a record or of an entry of the log. */
function changeOf(fields: Record<string, string>) {
  const {
    state,
    step = "0",
    secondsLeft = "",
    startedAt,
    finishedAt = "",
    error = "",
    stopped = "",
  } = fields;
  return {
    state: state as JobState,
    step: Number(step),
    secondsLeft: numberOf(secondsLeft),
    startedAt: numberOf(startedAt ?? ""),
    finishedAt: numberOf(finishedAt),
    stopped: stopped || null,
    error: error === "" ? null : (JSON.parse(error) as JobFailure),
  };
}

function entryOf(record: Record<string, string>): LogEntry {
  const { type, image } = record;
  if (type === "image") return { type, image: JSON.parse(image!) as Omit<FinishedImage, "bytes"> };
  return { type: "state", change: partial(record) };
}

/** Only what the entry names. */
function partial(record: Record<string, string>): Partial<JobStatus> & { state: JobState } {
  const { state, ...rest } = changeOf(record);
  return { state, ...Object.fromEntries(Object.entries(rest).filter(([name]) => name in record)) };
}
