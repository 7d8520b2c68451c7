/** @file Generates orders with the pipelines of the served models, those of one shape together. Must not know queues or HTTP. */

import { seedAfter } from "../diffusion/seed.js";
import { Cancelled, EngineError } from "../errors.js";
import type { GenerateRequest } from "../pipeline/request.js";
import { imagesAtOnce, takeTogether } from "./batch.js";
import { Channel } from "./channel.js";
import { type ModelRegistry, modelNamed, type ServedModel } from "./model-registry.js";
import { PipelinePool, type PipelinePoolOptions } from "./pipeline-pool.js";
import type { JobProcessor, JobRequest, ProcessorEvent } from "./processor.js";
import { requestedScheduler } from "./resolve-request.js";
import {
  type BatchItem,
  dropCancelled,
  type RunningJob,
  report,
  sendImages,
  sendPreviews,
} from "./running-job.js";
import { StepTimer } from "./step-timer.js";

/** A processor in this process, whose networks run in a thread of their own. */
export function openProcessor(models: ModelRegistry, options: PipelinePoolOptions = {}): JobProcessor {
  const pool = new PipelinePool(options);
  const timer = new StepTimer();
  const waiting: RunningJob[] = [];
  let working: Promise<void> | undefined;

  const work = async () => {
    while (waiting.length > 0) {
      const group = takeTogether(waiting, ({ request }) => request);
      for (const job of group) waiting.splice(waiting.indexOf(job), 1);
      try {
        const model = modelNamed(models, group[0]!.request.settings.model);
        await processGroup(group, model, pool, timer).catch(async (error) => {
          if (error instanceof EngineError) await pool.discard(model, group[0]!.request.settings.lora);
          throw error;
        });
        for (const { events } of group) events.end();
      } catch (error) {
        for (const { events } of group) events.end({ error });
      }
    }
    working = undefined;
  };

  return {
    models: [...models.values()].map(({ info }) => info),
    process: (request, signal) => {
      const { steps, count } = request.settings;
      const events = new Channel<ProcessorEvent>();
      waiting.push({ request: request, signal, events, step: 0, total: steps * count });
      // Orders that are given in one turn of the event loop find each other.
      working ??= new Promise((resolve) => setImmediate(resolve)).then(work);
      return events;
    },
    close: async () => {
      for (const { events } of waiting.splice(0)) events.end({ error: new Cancelled() });
      await working;
      await pool.close();
    },
  };
}

async function processGroup(
  group: readonly RunningJob[],
  model: ServedModel,
  pool: PipelinePool,
  timer: StepTimer,
): Promise<void> {
  const places = group.flatMap((job) =>
    Array.from({ length: job.request.settings.count }, (_, index) => ({ job, index })),
  );
  const atOnce = imagesAtOnce(group[0]!.request.settings);
  for (let at = 0; at < places.length; at += atOnce) {
    const batch = places.slice(at, at + atOnce).filter(({ job }) => !dropCancelled(job));
    if (batch.length > 0) await generateBatch(batch, model, pool, timer);
  }
}

async function generateBatch(
  batch: readonly BatchItem[],
  model: ServedModel,
  pool: PipelinePool,
  timer: StepTimer,
): Promise<void> {
  const jobs = [...new Set(batch.map(({ job }) => job))];
  const { request } = jobs[0]!;
  const { width, height, guidanceScale } = request.settings;
  const pipeline = await pool.pipeline(model, request.settings.lora);
  pipeline.scheduler = requestedScheduler(request, model);
  const signal = allAborted(jobs.map((job) => job.signal));
  const run = pipeline.stream(requestOf(batch, signal));
  const timing = timer.begin(JSON.stringify([model.info.id, width, height, guidanceScale > 1, batch.length]));
  let next = await nextOf(run, jobs);
  while (!next.done) {
    timing.step();
    report(batch, next.value, timing);
    if (batch.some(({ job }) => job.request.previews)) await sendPreviews(batch, next.value);
    next = await nextOf(run, jobs);
  }
  await sendImages(batch, next.value.images);
}

type Run = ReturnType<Awaited<ReturnType<PipelinePool["pipeline"]>>["stream"]>;

/** The next step; afterwards orders that were cancelled while it ran are told. */
async function nextOf(run: Run, jobs: readonly RunningJob[]) {
  const next = await run.next();
  jobs.forEach(dropCancelled);
  return next;
}

function requestOf(batch: readonly BatchItem[], signal: AbortSignal): GenerateRequest {
  const { settings, image, mask } = batch[0]!.job.request;
  const { clipSkip, strength } = settings;
  const texts = (read: (settings: JobRequest["settings"]) => string) =>
    batch.map(({ job }) => read(job.request.settings));
  const shared: Omit<GenerateRequest, "prompt"> = {
    seed: batch.map(({ job, index }) => seedAfter(BigInt(job.request.settings.seed), index)),
    width: settings.width,
    height: settings.height,
    numInferenceSteps: settings.steps,
    guidanceScale: settings.guidanceScale,
    rng: settings.rng,
    ...(clipSkip !== undefined && { clipSkip }),
    ...(image && { image }),
    ...(mask && { mask }),
    ...(image && strength !== undefined && { strength }),
    signal,
    onWarning: () => {}, // told with each image
  };
  const negatives = texts(({ negativePrompt = "" }) => negativePrompt);
  const told = settings.negativePrompt !== undefined;
  // A text that is generated several times is encoded once.
  if (new Set(batch.map(({ job }) => job)).size === 1) {
    const negative = told ? { negativePrompt: negatives[0]! } : {};
    return { ...shared, prompt: settings.prompt, ...negative, numImagesPerPrompt: batch.length };
  }
  return { ...shared, prompt: texts(({ prompt }) => prompt), ...(told && { negativePrompt: negatives }) };
}

/** Fires when every one of them has. */
function allAborted(signals: readonly AbortSignal[]): AbortSignal {
  if (signals.length === 1) return signals[0]!;
  const controller = new AbortController();
  const check = () => void (signals.every(({ aborted }) => aborted) && controller.abort());
  for (const signal of signals) signal.addEventListener("abort", check, { once: true });
  check();
  return controller.signal;
}
