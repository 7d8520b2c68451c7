/**
 * @file A painter in a thread of its own. The networks have one already, but tracing a large network, decoding what
 * was sent and turning floats to pixels would each hold up a server's answers for tenths of a second.
 */

import { Worker } from "node:worker_threads";
import type { Catalogue } from "./catalogue.js";
import { Channel } from "./channel.js";
import type { Order, PaintEvent, PainterService } from "./paint.js";
import { errorFrom, type PlainError } from "./plain-error.js";
import type { ShelfOptions } from "./shelf.js";

export type ThreadData = { folders: readonly string[]; options: ShelfOptions };
export type ToThread =
  | { kind: "paint"; id: number; order: Order }
  | { kind: "cancel"; id: number }
  | { kind: "close" };
export type FromThread =
  | { kind: "event"; id: number; event: PaintEvent }
  | { kind: "end"; id: number; error?: PlainError };

/** Node runs no TypeScript, so the thread is the built one even when this file is not. */
const entry = import.meta.url.endsWith(".ts")
  ? new URL("../../dist/serve/thread-entry.js", import.meta.url)
  : new URL("./thread-entry.js", import.meta.url);

/** Starts the thread; it paints with the models of `catalogue`. */
export function painterThread(catalogue: Catalogue, options: ShelfOptions = {}): PainterService {
  const running = new Map<number, Channel<PaintEvent>>();
  const folders = [...catalogue.values()].map(({ folder }) => folder);
  const worker = new Worker(entry, { workerData: { folders, options } satisfies ThreadData });
  const tell = (message: ToThread) => worker.postMessage(message);
  let [ids, failure]: [number, Error | undefined] = [0, undefined];

  worker.on("message", (message: FromThread) => {
    const events = running.get(message.id);
    if (message.kind === "event") return events?.push(message.event);
    running.delete(message.id);
    events?.end(message.error ? { error: errorFrom(message.error) } : {});
  });
  const fail = (error: Error) => {
    failure ??= error;
    for (const events of running.values()) events.end({ error: failure });
    running.clear();
  };
  worker.on("error", fail);
  const ended = new Promise<void>((resolve) => worker.on("exit", () => resolve()));
  worker.on("exit", (code) => fail(new Error(`internal: the painter's thread ended with code ${code}`)));

  return {
    models: [...catalogue.values()].map(({ card }) => card),
    paint: (order, signal) => {
      const events = new Channel<PaintEvent>();
      if (failure) {
        events.end({ error: failure });
        return events;
      }
      const id = ids++;
      running.set(id, events);
      tell({ kind: "paint", id, order });
      const cancel = () => tell({ kind: "cancel", id });
      if (signal.aborted) cancel();
      else signal.addEventListener("abort", cancel, { once: true });
      return events;
    },
    close: async () => {
      tell({ kind: "close" });
      await ended;
    },
  };
}
