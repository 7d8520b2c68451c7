/**
 * @file A painter in a thread of its own. The networks have one already, but tracing a large network, decoding what
 * was sent and turning floats to pixels would each hold up a server's answers for tenths of a second.
 */

import { once } from "node:events";
import { SHARE_ENV, Worker } from "node:worker_threads";
import { Channel } from "./channel.js";
import { type Catalogue, lorasOf, type NamedLora } from "./model-registry.js";
import type { ShelfOptions } from "./pipeline-pool.js";
import { errorFrom, type PlainError } from "./plain-error.js";
import type { Order, PaintEvent, PainterService } from "./processor.js";

export type ThreadData = {
  folders: readonly string[];
  loras: readonly NamedLora[];
  options: ShelfOptions;
};
export type ToThread =
  | { kind: "paint"; id: number; order: Order }
  | { kind: "cancel"; id: number }
  | { kind: "close" };
export type FromThread =
  | { kind: "event"; id: number; event: PaintEvent }
  | { kind: "end"; id: number; error?: PlainError };

/** Node runs no TypeScript, so the thread is the built one even when this file is not. */
const entry = import.meta.url.endsWith(".ts")
  ? new URL("../../dist/jobs/processor-thread-entry.js", import.meta.url)
  : new URL("./processor-thread-entry.js", import.meta.url);

/** Starts the thread at once, and again when it is needed after it ended; it paints with `catalogue`'s models. */
export function painterThread(catalogue: Catalogue, options: ShelfOptions = {}): PainterService {
  const folders = [...catalogue.values()].map(({ folder }) => folder);
  const data = { folders, loras: lorasOf(catalogue), options };
  let thread = startThread(data);
  return {
    models: [...catalogue.values()].map(({ card }) => card),
    paint: (order, signal) => {
      if (thread.over) thread = startThread(data);
      return thread.paint(order, signal);
    },
    close: () => thread.close(),
  };
}

type Thread = Pick<PainterService, "paint" | "close"> & { readonly over: boolean };

function startThread(workerData: ThreadData): Thread {
  const worker = new Worker(entry, { workerData, env: SHARE_ENV });
  const tell = (message: ToThread) => worker.postMessage(message);
  const running = new Map<number, { events: Channel<PaintEvent>; forget: () => void }>();
  let [ids, over] = [0, false];

  const end = (id: number, failure: { error?: unknown }) => {
    const order = running.get(id);
    running.delete(id);
    order?.forget();
    order?.events.end(failure);
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
  worker.on("exit", (code) => fail(new Error(`internal: the painter's thread ended with code ${code}`)));

  return {
    get over() {
      return over;
    },
    paint: (order, signal) => {
      const events = new Channel<PaintEvent>();
      const id = ids++;
      const cancel = () => tell({ kind: "cancel", id });
      running.set(id, { events, forget: () => signal.removeEventListener("abort", cancel) });
      tell({ kind: "paint", id, order });
      if (signal.aborted) cancel();
      else signal.addEventListener("abort", cancel, { once: true });
      return events;
    },
    close: async () => {
      if (over) return;
      const ended = once(worker, "exit");
      tell({ kind: "close" });
      await ended;
    },
  };
}
