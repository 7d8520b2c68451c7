/** @file What runs in the painter's thread: messages in, a painter's events out. */

import { parentPort, workerData } from "node:worker_threads";
import { openCatalogue } from "./model-registry.js";
import { openPainter } from "./pipeline-processor.js";
import { plainError } from "./plain-error.js";
import type { Order, PainterService } from "./processor.js";
import type { FromThread, ThreadData, ToThread } from "./processor-thread.js";

const port = parentPort!;
const { folders, loras, options } = workerData as ThreadData;
let opened: Promise<PainterService> | undefined;
void painter().catch(() => {}); // told to whoever asks for a picture
const controllers = new Map<number, AbortController>();
const tell = (message: FromThread) => port.postMessage(message);

port.on("message", (message: ToThread) => {
  switch (message.kind) {
    case "paint":
      return void paint(message.id, message.order);
    case "cancel":
      return controllers.get(message.id)?.abort();
    case "close":
      return void close();
    default:
      message satisfies never;
  }
});

/** Opened once; where a folder cannot be read, anew for the next order. */
function painter(): Promise<PainterService> {
  opened ??= openCatalogue(folders, loras)
    .then((catalogue) => openPainter(catalogue, options))
    .catch((error: unknown) => {
      opened = undefined;
      throw error;
    });
  return opened;
}

async function paint(id: number, order: Order): Promise<void> {
  const controller = new AbortController();
  controllers.set(id, controller);
  try {
    const { paint } = await painter();
    for await (const event of paint(order, controller.signal)) tell({ kind: "event", id, event });
    tell({ kind: "end", id });
  } catch (error) {
    tell({ kind: "end", id, error: plainError(error) });
  } finally {
    controllers.delete(id);
  }
}

async function close(): Promise<void> {
  for (const controller of controllers.values()) controller.abort();
  await opened?.then(({ close }) => close()).catch(() => {});
  port.close();
}
