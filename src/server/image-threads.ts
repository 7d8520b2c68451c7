/**
 * @file A pool of threads that read the images of requests, one image in each at a time, so that decoding neither blocks
 * answers nor takes more memory than a few images need. Further images wait in a bounded queue.
 */

import { Busy, InvalidRequest } from "../errors.js";
import { Draining } from "../jobs/queue.js";
import { builtFile } from "../package-files.js";
import { Thread } from "../threads.js";
import { type ImageTasks, imageTasks } from "./image-tasks.js";
import type { ImageThreadMethods } from "./image-thread-entry.js";

export type ImageThreads = ImageTasks & { close(): Promise<void> };

export type ImageThreadsOptions = {
  threads?: number;
  /** Tasks that may wait. */
  most?: number;
  /** How long a task may take. */
  seconds?: number;
  /** A thread without a task for this long ends, which frees its memory. */
  idleSeconds?: number;
};

/** JavaScript memory of a thread: the largest body as text, and as long a text inside an image. */
const resourceLimits = { maxOldGenerationSizeMb: 256 };

/** The tasks of `imageTasks`, run in threads. Busy where too many wait, InvalidRequest for one that takes too much. */
export function imageThreads(options: ImageThreadsOptions = {}): ImageThreads {
  const pool = new Pool(options);
  const tasks = Object.keys(imageTasks) as (keyof ImageTasks)[];
  const calls = tasks.map(
    (task) => [task, (...args: readonly unknown[]) => pool.run({ task, args })] as const,
  );
  return { ...(Object.fromEntries(calls) as unknown as ImageTasks), close: () => pool.close() };
}

type Task = { task: keyof ImageTasks; args: readonly unknown[] };
type WaitingTask = { input: Task; resolve: (result: unknown) => void; reject: (error: unknown) => void };

class Pool {
  readonly #options: Required<ImageThreadsOptions>;
  readonly #waiting: WaitingTask[] = [];
  readonly #threads = new Set<ImageThread>();
  #closed = false;

  constructor(options: ImageThreadsOptions) {
    this.#options = { threads: 2, most: 64, seconds: 30, idleSeconds: 10, ...options };
  }

  run(input: Task): Promise<unknown> {
    if (this.#closed) return Promise.reject(new Draining());
    if (this.#waiting.length >= this.#options.most) return Promise.reject(new Busy("images to read"));
    return new Promise((resolve, reject) => {
      this.#waiting.push({ input, resolve, reject });
      this.#startNext();
    });
  }

  async close(): Promise<void> {
    this.#closed = true;
    for (const { reject } of this.#waiting.splice(0)) reject(new Draining());
    await Promise.all([...this.#threads].map((thread) => thread.end()));
  }

  #startNext(): void {
    if (this.#waiting.length === 0) return;
    const thread = [...this.#threads].find(({ free }) => free) ?? this.#newThread();
    if (!thread) return;
    const { input, resolve, reject } = this.#waiting.shift()!;
    thread
      .run(input)
      .then(resolve, (error: unknown) => reject(this.#closed ? new Draining() : error))
      .finally(() => this.#startNext());
  }

  #newThread(): ImageThread | undefined {
    const { threads, seconds, idleSeconds } = this.#options;
    if (this.#threads.size >= threads) return undefined;
    const thread = new ImageThread(seconds, idleSeconds, () => this.#threads.delete(thread));
    this.#threads.add(thread);
    return thread;
  }
}

class ImageThread {
  readonly #thread: Thread<ImageThreadMethods>;
  readonly #taskSeconds: number;
  readonly #idleSeconds: number;
  readonly #onEnd: () => void;
  #busy = false;
  #idle: NodeJS.Timeout | undefined;

  constructor(taskSeconds: number, idleSeconds: number, onEnd: () => void) {
    this.#thread = new Thread(builtFile("server/image-thread-entry.js"), { name: "image", resourceLimits });
    [this.#taskSeconds, this.#idleSeconds, this.#onEnd] = [taskSeconds, idleSeconds, onEnd];
  }

  get free(): boolean {
    return !this.#busy && !this.#thread.ended;
  }

  async run(input: Task): Promise<unknown> {
    clearTimeout(this.#idle);
    this.#busy = true;
    let isLate = false;
    const timer = endAfter(this.#taskSeconds, () => {
      isLate = true;
      void this.end();
    });
    try {
      return await this.#thread.call("run", input);
    } catch (error) {
      throw isLate || isOutOfMemory(error) ? tooMuch(this.#taskSeconds) : error;
    } finally {
      clearTimeout(timer);
      this.#busy = false;
      if (this.#thread.ended) this.#onEnd();
      else this.#idle = endAfter(this.#idleSeconds, () => void this.end());
    }
  }

  async end(): Promise<void> {
    clearTimeout(this.#idle);
    await this.#thread.terminate();
    this.#onEnd();
  }
}

const endAfter = (seconds: number, end: () => void): NodeJS.Timeout =>
  setTimeout(end, seconds * 1000).unref();

const isOutOfMemory = (error: unknown): boolean =>
  (error as NodeJS.ErrnoException).code === "ERR_WORKER_OUT_OF_MEMORY";

function tooMuch(seconds: number): InvalidRequest {
  const most = `${seconds} s and ${resourceLimits.maxOldGenerationSizeMb} MB`;
  return new InvalidRequest("image", undefined, `must be read within ${most}, got more. Save it again.`);
}
