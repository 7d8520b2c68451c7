/** @file The processor's thread: generates batches for `processor-thread.ts`. */

import type { EngineNotice } from "../engine/notices.js";
import { openSigner, type SigningFiles } from "../image/content-credentials.js";
import type { Embedding } from "../pipeline/embeddings.js";
import { type PlainError, plainError } from "../plain-error.js";
import { type Call, serveThread, threadData } from "../threads.js";
import { type NamedLora, openModelRegistry, type SingleFileLoad } from "./model-registry.js";
import { openProcessor } from "./pipeline-processor.js";
import type { Placements } from "./placements.js";
import type { JobProcessor, JobRequest, ProcessorEvent } from "./processor.js";
import type { ServedSafety } from "./served-safety.js";

export type ProcessorThreadData = {
  folders: readonly string[];
  loras: readonly NamedLora[];
  embeddings: readonly Embedding[];
  load: SingleFileLoad;
  placements: Placements;
  safety: ServedSafety;
  sign: SigningFiles | undefined;
  options: { threads?: number };
};

/** What happens to one job of a batch, by its index there. */
export type JobEvent = { job: number } & (
  | { type: "event"; event: ProcessorEvent }
  | { type: "done" }
  | { type: "failed"; error: PlainError }
);
export type BatchEvent = JobEvent | { type: "notice"; notice: EngineNotice };

const { folders, loras, embeddings, load, placements, safety, sign, options } =
  threadData<ProcessorThreadData>();
let opened: Promise<JobProcessor> | undefined;
/** Of the batch that runs. */
let onNotice = (_: EngineNotice) => {};

/** Opened once; where a folder cannot be read, anew for the next batch. */
function processor(): Promise<JobProcessor> {
  opened ??= open().catch((error: unknown) => {
    opened = undefined;
    throw error;
  });
  return opened;
}

async function open(): Promise<JobProcessor> {
  const signed = sign !== undefined;
  const models = await openModelRegistry(folders, { loras, load, embeddings, placements, safety, signed });
  const signer = sign && (await openSigner(sign));
  return openProcessor(models, { ...options, signer, onNotice: (notice) => onNotice(notice) });
}

const methods = {
  /** Ends when every job of the batch has ended. A signal for each cancels it. */
  process: async (requests: readonly JobRequest[], { signals, emit }: Call<BatchEvent>): Promise<void> => {
    const { process } = await processor();
    onNotice = (notice) => emit({ type: "notice", notice });
    const streams = process(requests.map((request, i) => ({ request, signal: signals[i]! })));
    const follow = async (stream: AsyncIterable<ProcessorEvent>, job: number) => {
      try {
        for await (const event of stream) emit({ job, type: "event", event });
        emit({ job, type: "done" });
      } catch (error) {
        emit({ job, type: "failed", error: plainError(error) });
      }
    };
    await Promise.all(streams.map(follow));
  },
};

export type ProcessorMethods = typeof methods;

processor().catch(() => {}); // thrown by the first batch
serveThread(methods, async () => {
  await opened?.then(({ close }) => close()).catch(() => {});
});
