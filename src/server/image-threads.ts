/**
 * @file Images of requests are read in a few threads, one image in each at a time: never on the thread that answers,
 * and never more at once than there is memory for. Others wait in a line that has an end.
 */

import { SHARE_ENV, Worker } from "node:worker_threads";
import { Busy, InvalidRequest } from "../errors.js";
import { errorFrom, type PlainError } from "../jobs/plain-error.js";
import { Draining } from "../jobs/queue.js";
import { type ImageTasks, imageTasks } from "./image-tasks.js";

type Task = keyof ImageTasks;
export type ToImageThread = { task: Task; args: readonly unknown[] };
export type FromImageThread = { result: unknown } | { error: PlainError };

export type ImageThreads = ImageTasks & { close(): Promise<void> };

export type ImageThreadsOptions = {
  threads?: number;
  /** Tasks that may wait. */
  most?: number;
  /** How long a task may take. */
  seconds?: number;
  /** A thread that had nothing to do for so long ends, and its memory with it. */
  idleSeconds?: number;
};

/** Node runs no TypeScript, so the thread is the built one even when this file is not. */
const entry = import.meta.url.endsWith(".ts")
  ? new URL("../../dist/server/image-thread-entry.js", import.meta.url)
  : new URL("./image-thread-entry.js", import.meta.url);

/** JavaScript's own memory of a thread: the largest body as text, and as long a text inside an image. */
const resourceLimits = { maxOldGenerationSizeMb: 256 };

/** The tasks of `imageTasks`, each run in a thread. Busy where too many wait, InvalidRequest for one that takes too much. */
export function imageThreads(options: ImageThreadsOptions = {}): ImageThreads {
  const pool = new Pool(options);
  const tasks = Object.keys(imageTasks) as Task[];
  const calls = tasks.map((task) => [task, (...args: readonly unknown[]) => pool.run(task, args)] as const);
  return { ...(Object.fromEntries(calls) as unknown as ImageTasks), close: () => pool.close() };
}

type Outcome = { resolve: (result: unknown) => void; reject: (error: unknown) => void };

class Pool {
  readonly #options: Required<ImageThreadsOptions>;
  readonly #waiting: (ToImageThread & Outcome)[] = [];
  readonly #threads = new Set<ImageThread>();
  #closed = false;

  constructor(options: ImageThreadsOptions) {
    this.#options = { threads: 2, most: 64, seconds: 30, idleSeconds: 10, ...options };
  }

  run(task: Task, args: readonly unknown[]): Promise<unknown> {
    if (this.#closed) return Promise.reject(new Draining());
    if (this.#waiting.length >= this.#options.most) return Promise.reject(new Busy("images to read"));
    return new Promise((resolve, reject) => {
      this.#waiting.push({ task, args, resolve, reject });
      this.#deal();
    });
  }

  async close(): Promise<void> {
    this.#closed = true;
    for (const { reject } of this.#waiting.splice(0)) reject(new Draining());
    await Promise.all([...this.#threads].map((thread) => thread.end()));
  }

  #deal(): void {
    while (this.#waiting.length > 0) {
      const thread = [...this.#threads].find(({ free }) => free) ?? this.#another();
      if (!thread) return;
      const { task, args, ...outcome } = this.#waiting.shift()!;
      thread.run({ task, args }, outcome);
    }
  }

  #another(): ImageThread | undefined {
    const { threads, seconds, idleSeconds } = this.#options;
    if (this.#threads.size >= threads) return undefined;
    const thread = new ImageThread(seconds, idleSeconds, (over) => {
      if (over) this.#threads.delete(thread);
      this.#deal();
    });
    this.#threads.add(thread);
    return thread;
  }
}

class ImageThread {
  readonly #worker = new Worker(entry, { env: SHARE_ENV, resourceLimits });
  readonly #taskSeconds: number;
  #outcome: Outcome | undefined;
  #failure: unknown;
  #timer: NodeJS.Timeout | undefined;
  #ending = false;

  /** `changed` is called when it is free again, or over. */
  constructor(taskSeconds: number, idleSeconds: number, changed: (over: boolean) => void) {
    this.#taskSeconds = taskSeconds;
    this.#worker.on("message", (message: FromImageThread) => {
      if ("error" in message) this.#settle("reject", errorFrom(message.error));
      else this.#settle("resolve", message.result);
      this.#endAfter(idleSeconds);
      changed(false);
    });
    this.#worker.on("error", (error: NodeJS.ErrnoException) => {
      if (error.code !== "ERR_WORKER_OUT_OF_MEMORY") this.#failure = error;
    });
    this.#worker.on("exit", () => {
      clearTimeout(this.#timer);
      this.#settle("reject", this.#failure ?? tooMuch(taskSeconds));
      changed(true);
    });
  }

  get free(): boolean {
    return this.#outcome === undefined && !this.#ending;
  }

  run(message: ToImageThread, outcome: Outcome): void {
    this.#outcome = outcome;
    this.#endAfter(this.#taskSeconds);
    this.#worker.postMessage(message);
  }

  async end(): Promise<void> {
    this.#ending = true;
    await this.#worker.terminate();
  }

  #settle(how: "resolve" | "reject", value: unknown): void {
    const outcome = this.#outcome;
    this.#outcome = undefined;
    outcome?.[how](value);
  }

  #endAfter(seconds: number): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => void this.end(), seconds * 1000).unref();
  }
}

function tooMuch(seconds: number): InvalidRequest {
  const most = `${seconds} s and ${resourceLimits.maxOldGenerationSizeMb} MB`;
  return new InvalidRequest("image", undefined, `must be read within ${most}, got more. Save it again.`);
}
