/**
 * @file Calls to worker threads, both sides of the protocol: methods by name, events while a method runs, cancellation
 * by AbortSignals, errors that keep their class. Independent of what the threads compute.
 *
 * comlink has no signals, loses the class of an error, and never answers a call to a thread that has ended.
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
import { errorFrom, type PlainError, plainError } from "./plain-error.js";

/** A running call, as the thread's method sees it. */
export interface Call<Event = never> {
  /** The caller's signals, in its order. */
  readonly signals: readonly AbortSignal[];
  /** Sends an event to the caller; it arrives before the result. */
  emit(event: Event): void;
  /** Moves these buffers to the caller with the result, instead of copying them. */
  transfer(buffers: Iterable<ArrayBuffer>): void;
}

/** What a thread offers: methods whose input, events and result are data that can be cloned. */
export type ThreadMethods = Readonly<Record<string, (input: never, call: Call<never>) => unknown>>;

type Input<M> = M extends (input: infer I, ...rest: never[]) => unknown ? I : never;
type Result<M> = M extends (...args: never[]) => infer R ? Awaited<R> : never;
type EventOf<M> = M extends (input: never, call: Call<infer E>) => unknown ? E : never;

export type CallOptions<Event> = {
  /** The method sees one signal for each; what an aborted one means is the method's to decide. */
  signals?: readonly AbortSignal[];
  /** Buffers of the input that are moved to the thread, instead of copied. */
  transfer?: readonly ArrayBuffer[];
  onEvent?: (event: Event) => void;
};

export type ThreadOptions = {
  /** For errors and debuggers: "engine". */
  name: string;
  /** Given to the thread when it starts. */
  data?: unknown;
  resourceLimits?: ResourceLimits;
};

type ToThread =
  | { type: "call"; id: number; method: string; input: unknown; signals: number }
  | { type: "abort"; id: number; signal: number }
  | { type: "close" };
type FromThread =
  | { type: "started" }
  | { type: "event"; id: number; event: unknown }
  | { type: "result"; id: number; result: unknown }
  | { type: "error"; id: number; error: PlainError };

type PendingCall = {
  resolve: (result: unknown) => void;
  reject: (error: unknown) => void;
  onEvent: (event: unknown) => void;
};

/** A worker thread. While no call runs it does not keep the process alive. */
export class Thread<M extends ThreadMethods> {
  readonly #name: string;
  readonly #worker: Worker;
  readonly #pending = new Map<number, PendingCall>();
  /** Resolved once the thread has loaded its modules, or has ended before that. */
  readonly #started: Promise<void>;
  readonly #exit: Promise<void>;
  /** Why it takes no more calls. */
  #end: { reason: unknown } | undefined;
  /** Whether the process waits for the thread's end. */
  #closing = false;
  #ids = 0;

  /** Starts the thread. `entry` is the module that calls `serveThread`: `new URL("./file.js", import.meta.url)`. */
  constructor(entry: URL, { name, data, resourceLimits }: ThreadOptions) {
    const limits = resourceLimits && { resourceLimits };
    sharedLocks();
    const worker = new Worker(builtFile(entry), { name, workerData: data, env: SHARE_ENV, ...limits });
    [this.#name, this.#worker] = [name, worker];
    this.#exit = new Promise((resolve) => worker.once("exit", () => resolve()));
    this.#started = new Promise((resolve) => {
      worker.once("message", () => resolve());
      worker.once("exit", () => resolve());
    });
    worker.on("message", (message: FromThread) => this.#receive(message));
    worker.on("error", (error) => this.#fail(error));
    worker.on("exit", (code) =>
      this.#fail(new Error(`internal: the ${name} thread ended with code ${code}`)),
    );
  }

  /** Whether it takes no more calls. */
  get ended(): boolean {
    return this.#end !== undefined;
  }

  /** Rejects with what the method throws, or with the reason why the thread ended. */
  call<K extends keyof M & string>(
    method: K,
    input: Input<M[K]>,
    { signals = [], transfer = [], onEvent = () => {} }: CallOptions<EventOf<M[K]>> = {},
  ): Promise<Result<M[K]>> {
    if (this.#end) return Promise.reject(this.#end.reason);
    const id = this.#ids++;
    const answer = new Promise<unknown>((resolve, reject) => {
      this.#post({ type: "call", id, method, input, signals: signals.length }, transfer);
      this.#pending.set(id, { resolve, reject, onEvent: onEvent as (event: unknown) => void });
      this.#worker.ref();
    });
    const forgetSignals = signals.map((signal, i) => {
      const abort = () => this.#post({ type: "abort", id, signal: i });
      if (signal.aborted) abort();
      else signal.addEventListener("abort", abort, { once: true });
      return () => signal.removeEventListener("abort", abort);
    });
    return answer.finally(() => {
      for (const forget of forgetSignals) forget();
    }) as Promise<Result<M[K]>>;
  }

  /** Aborts the signals of running calls, waits for their end and for the thread's own clean-up. */
  async close(): Promise<void> {
    this.#endCalls();
    this.#closing = true;
    this.#worker.ref();
    this.#post({ type: "close" });
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
    this.#end ??= { reason: new Error(`internal: the ${this.#name} thread was called after it was closed`) };
  }

  #post(message: ToThread, transfer: readonly ArrayBuffer[] = []): void {
    this.#worker.postMessage(message, transfer);
  }

  #receive(message: FromThread): void {
    switch (message.type) {
      case "started":
        break;
      case "event":
        this.#pending.get(message.id)?.onEvent(message.event);
        return;
      case "result":
        this.#pending.get(message.id)?.resolve(message.result);
        this.#pending.delete(message.id);
        break;
      case "error":
        this.#pending.get(message.id)?.reject(errorFrom(message.error));
        this.#pending.delete(message.id);
        break;
      default:
        message satisfies never;
    }
    if (this.#pending.size === 0 && !this.#closing) this.#worker.unref();
  }

  #fail(reason: unknown): void {
    this.#end ??= { reason };
    for (const { reject } of this.#pending.values()) reject(reason);
    this.#pending.clear();
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

/** Node 20 runs no TypeScript: where this module is a source, a thread of the sources runs its built file. */
function builtFile(entry: URL): URL {
  if (!import.meta.url.endsWith(".ts")) return entry;
  const [sources, built] = [new URL("./", import.meta.url), new URL("../dist/", import.meta.url)];
  return new URL(entry.href.replace(sources.href, built.href));
}

/** The thread's side: answers calls until it is closed. `close` frees what the methods hold. */
export function serveThread(methods: ThreadMethods, close: () => Promise<void> = async () => {}): void {
  const port = parentPort!;
  const controllers = new Map<number, readonly AbortController[]>();
  const running = new Set<Promise<void>>();
  const post = (message: FromThread, transfer: Iterable<ArrayBuffer> = []) =>
    port.postMessage(message, [...transfer]);

  const answer = async ({ id, method, input, signals }: ToThread & { type: "call" }) => {
    const own = Array.from({ length: signals }, () => new AbortController());
    controllers.set(id, own);
    const moved = new Set<ArrayBuffer>();
    const call: Call<unknown> = {
      signals: own.map(({ signal }) => signal),
      emit: (event) => post({ type: "event", id, event }),
      transfer: (buffers) => {
        for (const buffer of buffers) moved.add(buffer);
      },
    };
    try {
      const run = methods[method] as (input: unknown, call: Call<unknown>) => unknown;
      post({ type: "result", id, result: await run(input, call) }, moved);
    } catch (error) {
      post({ type: "error", id, error: plainError(error) });
    }
    controllers.delete(id);
  };
  const end = async () => {
    for (const own of controllers.values()) for (const controller of own) controller.abort();
    await Promise.all(running);
    await close();
    port.close();
  };

  port.on("message", (message: ToThread) => {
    switch (message.type) {
      case "call": {
        const answered = answer(message).finally(() => running.delete(answered));
        running.add(answered);
        break;
      }
      case "abort":
        controllers.get(message.id)?.[message.signal]?.abort();
        break;
      case "close":
        void end();
        break;
      default:
        message satisfies never;
    }
  });
  post({ type: "started" });
}

/** What the thread that calls this was started with. */
export const threadData = <T>(): T => workerData as T;
