/**
 * @file A processor in a thread of its own. The networks have one already, but tracing a large network, decoding images
 * of requests and turning floats to pixels would each hold up a server's answers for tenths of a second.
 */

import { noticeText } from "../engine/notices.js";
import { checkThreads } from "../engine/thread-count.js";
import type { SigningFiles } from "../image/content-credentials.js";
import { builtFile } from "../package-files.js";
import { errorFrom } from "../plain-error.js";
import { Thread } from "../threads.js";
import { Channel } from "./channel.js";
import {
  embeddingsOf,
  lorasOf,
  type ModelRegistry,
  type ServedModel,
  type SingleFileLoad,
} from "./model-registry.js";
import type { JobProcessor, ProcessorEvent } from "./processor.js";
import type {
  BatchEvent,
  JobEvent,
  ProcessorMethods,
  ProcessorThreadData,
} from "./processor-thread-entry.js";

/**
 * Starts the thread at once, and again for a batch that comes after its end; it opens the folders of `models` itself.
 * `threads` is the number of threads of one operation, one per core if left out. `onNotice` is called with a
 * line for what devices do while jobs are generated.
 */
export function processorThread(
  models: ModelRegistry,
  {
    onNotice = () => {},
    sign,
    ...options
  }: { threads?: number; sign?: SigningFiles | undefined; onNotice?: (text: string) => void } = {},
): JobProcessor {
  if (options.threads !== undefined) checkThreads(options.threads);
  const folders = [...models.values()].map(({ folder }) => folder);
  const load = Object.assign({}, ...[...models.values()].map((model) => singleFileLoad(model)));
  const { safety = {} } = [...models.values()][0] ?? {};
  const devices = Object.fromEntries([...models].map(([id, { place }]) => [id, place]));
  const data: ProcessorThreadData = {
    embeddings: embeddingsOf(models),
    ...{ folders, loras: lorasOf(models), load, placements: { devices }, safety, sign, options },
  };
  const entry = builtFile("jobs/processor-thread-entry.js");
  const start = () => new Thread<ProcessorMethods>(entry, { name: "processor", data });
  let thread = start();
  return {
    models: [...models.values()].map(({ info }) => info),
    process: (batch) => {
      if (thread.ended) thread = start();
      const channels = batch.map(() => new Channel<ProcessorEvent>());
      const signals = batch.map(({ signal }) => signal);
      const onEvent = (event: BatchEvent) =>
        event.type === "notice" ? onNotice(noticeText(event.notice)) : take(channels[event.job]!, event);
      const requests = batch.map(({ request }) => request);
      thread.call("process", requests, { signals, onEvent }).catch((error: unknown) => {
        for (const channel of channels) channel.end({ error });
      });
      return channels;
    },
    close: () => thread.close(),
  };
}

/** The registry of the thread finds the safety checker itself, by the same settings. */
const singleFileLoad = ({ load: { safetyChecker: _, ...load } }: ServedModel): SingleFileLoad => load;

function take(channel: Channel<ProcessorEvent>, event: JobEvent): void {
  switch (event.type) {
    case "event":
      channel.push(event.event);
      break;
    case "done":
      channel.end();
      break;
    case "failed":
      channel.end({ error: errorFrom(event.error) });
      break;
    default:
      event satisfies never;
  }
}
