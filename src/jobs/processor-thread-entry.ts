/** @file What runs in the processor's thread: messages in, a processor's events out. */

import { parentPort, workerData } from "node:worker_threads";
import { openModelRegistry } from "./model-registry.js";
import { openProcessor } from "./pipeline-processor.js";
import { plainError } from "./plain-error.js";
import type { JobProcessor, JobRequest } from "./processor.js";
import type { FromThread, ThreadData, ToThread } from "./processor-thread.js";

const port = parentPort!;
const { folders, loras, options } = workerData as ThreadData;
let opened: Promise<JobProcessor> | undefined;
void processor().catch(() => {}); // told to whoever asks for an image
const controllers = new Map<number, AbortController>();
const emit = (message: FromThread) => port.postMessage(message);

port.on("message", (message: ToThread) => {
  switch (message.kind) {
    case "process":
      return void process(message.id, message.request);
    case "cancel":
      return controllers.get(message.id)?.abort();
    case "close":
      return void close();
    default:
      message satisfies never;
  }
});

/** Opened once; where a folder cannot be read, anew for the next order. */
function processor(): Promise<JobProcessor> {
  opened ??= openModelRegistry(folders, loras)
    .then((models) => openProcessor(models, options))
    .catch((error: unknown) => {
      opened = undefined;
      throw error;
    });
  return opened;
}

async function process(id: number, request: JobRequest): Promise<void> {
  const controller = new AbortController();
  controllers.set(id, controller);
  try {
    const { process } = await processor();
    for await (const event of process(request, controller.signal)) emit({ kind: "event", id, event });
    emit({ kind: "end", id });
  } catch (error) {
    emit({ kind: "end", id, error: plainError(error) });
  } finally {
    controllers.delete(id);
  }
}

async function close(): Promise<void> {
  for (const controller of controllers.values()) controller.abort();
  await opened?.then(({ close }) => close()).catch(() => {});
  port.close();
}
