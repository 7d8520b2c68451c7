/**
 * @file Calls by messages, both sides of the protocol: methods by name, events while a method runs, cancellation by
 * AbortSignals, errors that keep their class. Of threads it knows nothing but a function that sends to the other side:
 * `threads.ts` is Node's, `tab/` that of a browser's Worker.
 *
 * comlink has no signals, loses the class of an error, and never answers a call to a thread that has ended.
 */

import { errorFrom, type PlainError, plainError } from "./plain-error.js";

/** A running call, as the method sees it. */
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

export type ToThread =
  | { type: "call"; id: number; method: string; input: unknown; signals: number }
  | { type: "abort"; id: number; signal: number }
  | { type: "close" };
export type FromThread =
  | { type: "started" }
  | { type: "event"; id: number; event: unknown }
  | { type: "result"; id: number; result: unknown }
  | { type: "error"; id: number; error: PlainError };

type PendingCall = {
  resolve: (result: unknown) => void;
  reject: (error: unknown) => void;
  onEvent: (event: unknown) => void;
};

/** The caller's side: sends calls by `post`, and settles them by the messages that `receive` is given. */
export class Calls<M extends ThreadMethods> {
  readonly #post: (message: ToThread, transfer: readonly ArrayBuffer[]) => void;
  readonly #pending = new Map<number, PendingCall>();
  /** Why it takes no more calls. */
  #end: { reason: unknown } | undefined;
  #ids = 0;

  constructor(post: (message: ToThread, transfer: readonly ArrayBuffer[]) => void) {
    this.#post = post;
  }

  /** Whether it takes no more calls. */
  get ended(): boolean {
    return this.#end !== undefined;
  }

  /** How many calls run. */
  get running(): number {
    return this.#pending.size;
  }

  /** Rejects with what the method throws, or with the reason why the other side ended. */
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
    });
    const forgetSignals = signals.map((signal, i) => {
      const abort = () => this.#post({ type: "abort", id, signal: i }, []);
      if (signal.aborted) abort();
      else signal.addEventListener("abort", abort, { once: true });
      return () => signal.removeEventListener("abort", abort);
    });
    return answer.finally(() => {
      for (const forget of forgetSignals) forget();
    }) as Promise<Result<M[K]>>;
  }

  receive(message: FromThread): void {
    switch (message.type) {
      case "started":
        return;
      case "event":
        this.#pending.get(message.id)?.onEvent(message.event);
        return;
      case "result":
        this.#pending.get(message.id)?.resolve(message.result);
        this.#pending.delete(message.id);
        return;
      case "error":
        this.#pending.get(message.id)?.reject(errorFrom(message.error));
        this.#pending.delete(message.id);
        return;
      default:
        message satisfies never;
    }
  }

  /** Takes no more calls, for this reason; those that run go on. */
  end(reason: unknown): void {
    this.#end ??= { reason };
  }

  /** Ends, and rejects the calls that run: the other side is gone. */
  fail(reason: unknown): void {
    this.end(reason);
    for (const { reject } of this.#pending.values()) reject(reason);
    this.#pending.clear();
  }
}

type CallMessage = Extract<ToThread, { type: "call" }>;

/** The other side: answers calls by `post`. Returns what takes each message, and resolves for "close" once all has ended. */
export function answerCalls(
  methods: ThreadMethods,
  post: (message: FromThread, transfer?: Iterable<ArrayBuffer>) => void,
): (message: ToThread) => Promise<"closed"> | undefined {
  const controllers = new Map<number, readonly AbortController[]>();
  const running = new Set<Promise<void>>();

  const answer = async ({ id, method, input, signals }: CallMessage) => {
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
    return "closed" as const;
  };

  return (message) => {
    switch (message.type) {
      case "call": {
        const answered = answer(message).finally(() => running.delete(answered));
        running.add(answered);
        return undefined;
      }
      case "abort":
        controllers.get(message.id)?.[message.signal]?.abort();
        return undefined;
      case "close":
        return end();
      default:
        return message satisfies never;
    }
  };
}
