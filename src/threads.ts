/**
 * @file Worker threads of Node that are called by the protocol of calls.ts. Independent of what the threads compute.
 */

import {
  getEnvironmentData,
  parentPort,
  type ResourceLimits,
  SHARE_ENV,
  setEnvironmentData,
  Worker,
  workerData,
} from "node:worker_threads";
import { answerCalls, Calls, type FromThread, type ThreadMethods, type ToThread } from "./calls.js";

export type { Call } from "./calls.js";

export type ThreadOptions = {
  /** For errors and debuggers: "engine". */
  name: string;
  /** Given to the thread when it starts. */
  data?: unknown;
  resourceLimits?: ResourceLimits;
};

/** A worker thread. While no call runs it does not keep the process alive. */
export class Thread<M extends ThreadMethods> {
  readonly #name: string;
  readonly #worker: Worker;
  readonly #calls: Calls<M>;
  /** Resolved once the thread has loaded its modules, or has ended before that. */
  readonly #started: Promise<void>;
  readonly #exit: Promise<void>;
  /** Whether the process waits for the thread's end. */
  #closing = false;

  /** Starts the thread. `entry` is the built module that calls `serveThread`: `builtFile("folder/file.js")`. */
  constructor(entry: URL, { name, data, resourceLimits }: ThreadOptions) {
    const limits = resourceLimits && { resourceLimits };
    sharedLocks();
    const worker = new Worker(entry, { name, workerData: data, env: SHARE_ENV, ...limits });
    [this.#name, this.#worker] = [name, worker];
    this.#calls = new Calls((message, transfer) => worker.postMessage(message, transfer));
    this.#exit = new Promise((resolve) => worker.once("exit", () => resolve()));
    this.#started = new Promise((resolve) => {
      worker.once("message", () => resolve());
      worker.once("exit", () => resolve());
    });
    worker.on("message", (message: FromThread) => this.#receive(message));
    worker.on("error", (error) => this.#calls.fail(error));
    worker.on("exit", (code) =>
      this.#calls.fail(new Error(`internal: the ${name} thread ended with code ${code}`)),
    );
  }

  /** Whether it takes no more calls. */
  get ended(): boolean {
    return this.#calls.ended;
  }

  /** Rejects with what the method throws, or with the reason why the thread ended. */
  call: Calls<M>["call"] = (method, input, options) => {
    const answer = this.#calls.call(method, input, options);
    if (!this.#calls.ended) this.#worker.ref();
    return answer;
  };

  /** Aborts the signals of running calls, waits for their end and for the thread's own clean-up. */
  async close(): Promise<void> {
    this.#endCalls();
    this.#closing = true;
    this.#worker.ref();
    this.#worker.postMessage({ type: "close" } satisfies ToThread);
    await this.#exit;
  }

  /**
   * Ends the thread as soon as the function that it runs returns; running calls fail. Not while it loads its modules:
   * a thread that is ended while it loads a native library takes the process with it.
   */
  async terminate(): Promise<void> {
    this.#endCalls();
    await this.#started;
    await this.#worker.terminate();
  }

  #endCalls(): void {
    this.#calls.end(new Error(`internal: the ${this.#name} thread was called after it was closed`));
  }

  #receive(message: FromThread): void {
    this.#calls.receive(message);
    if (message.type !== "event" && this.#calls.running === 0 && !this.#closing) this.#worker.unref();
  }
}

const locksKey = "koala-diffusion.locks";

/** Zeros that all threads of this process see, for locks by number: a thread inherits them from the one that starts it. */
export function sharedLocks(): Int32Array {
  const known = getEnvironmentData(locksKey);
  const memory = known instanceof SharedArrayBuffer ? known : new SharedArrayBuffer(256);
  if (memory !== known) setEnvironmentData(locksKey, memory);
  return new Int32Array(memory);
}

/** The thread's side: answers calls until it is closed. `close` frees what the methods hold. */
export function serveThread(methods: ThreadMethods, close: () => Promise<void> = async () => {}): void {
  const port = parentPort!;
  const post = (message: FromThread, transfer: Iterable<ArrayBuffer> = []) =>
    port.postMessage(message, [...transfer]);
  const receive = answerCalls(methods, post);
  port.on("message", async (message: ToThread) => {
    if ((await receive(message)) !== "closed") return;
    await close();
    port.close();
  });
  post({ type: "started" });
}

/** What the thread that calls this was started with. */
export const threadData = <T>(): T => workerData as T;
