/**
 * @file A processor in a thread of its own. The networks have one already, but tracing a large network, decoding what
 * was sent and turning floats to pixels would each hold up a server's answers for tenths of a second.
 */

import { once } from "node:events";
import { SHARE_ENV, Worker } from "node:worker_threads";
import { Channel } from "./channel.js";
import { lorasOf, type ModelRegistry, type NamedLora } from "./model-registry.js";
import type { PipelinePoolOptions } from "./pipeline-pool.js";
import { errorFrom, type PlainError } from "./plain-error.js";
import type { JobProcessor, JobRequest, ProcessorEvent } from "./processor.js";

export type ThreadData = {
  folders: readonly string[];
  loras: readonly NamedLora[];
  options: PipelinePoolOptions;
};
export type ToThread =
  | { kind: "process"; id: number; request: JobRequest }
  | { kind: "cancel"; id: number }
  | { kind: "close" };
export type FromThread =
  | { kind: "event"; id: number; event: ProcessorEvent }
  | { kind: "end"; id: number; error?: PlainError };

/** Node runs no TypeScript, so the thread is the built one even when this file is not. */
const entry = import.meta.url.endsWith(".ts")
  ? new URL("../../dist/jobs/processor-thread-entry.js", import.meta.url)
  : new URL("./processor-thread-entry.js", import.meta.url);

/** Starts the thread at once, and again when it is needed after it ended; it generates with `catalogue`'s models. */
export function processorThread(models: ModelRegistry, options: PipelinePoolOptions = {}): JobProcessor {
  const folders = [...models.values()].map(({ folder }) => folder);
  const data = { folders, loras: lorasOf(models), options };
  let thread = startThread(data);
  return {
    models: [...models.values()].map(({ info }) => info),
    process: (request, signal) => {
      if (thread.over) thread = startThread(data);
      return thread.process(request, signal);
    },
    close: () => thread.close(),
  };
}

type Thread = Pick<JobProcessor, "process" | "close"> & { readonly over: boolean };

function startThread(workerData: ThreadData): Thread {
  const worker = new Worker(entry, { workerData, env: SHARE_ENV });
  const emit = (message: ToThread) => worker.postMessage(message);
  const running = new Map<number, { events: Channel<ProcessorEvent>; forget: () => void }>();
  let [ids, over] = [0, false];

  const end = (id: number, failure: { error?: unknown }) => {
    const request = running.get(id);
    running.delete(id);
    request?.forget();
    request?.events.end(failure);
  };
  worker.on("message", (message: FromThread) => {
    if (message.kind === "event") running.get(message.id)?.events.push(message.event);
    else end(message.id, message.error ? { error: errorFrom(message.error) } : {});
  });
  const fail = (error: unknown) => {
    over = true;
    for (const id of [...running.keys()]) end(id, { error });
  };
  worker.on("error", fail);
  worker.on("exit", (code) => fail(new Error(`internal: the processor's thread ended with code ${code}`)));

  return {
    get over() {
      return over;
    },
    process: (request, signal) => {
      const events = new Channel<ProcessorEvent>();
      const id = ids++;
      const cancel = () => emit({ kind: "cancel", id });
      running.set(id, { events, forget: () => signal.removeEventListener("abort", cancel) });
      emit({ kind: "process", id, request: request });
      if (signal.aborted) cancel();
      else signal.addEventListener("abort", cancel, { once: true });
      return events;
    },
    close: async () => {
      if (over) return;
      const ended = once(worker, "exit");
      emit({ kind: "close" });
      await ended;
    },
  };
}
