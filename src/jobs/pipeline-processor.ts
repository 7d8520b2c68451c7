/** @file Generates batches of jobs with the pipelines of the served models. Must not import queues or HTTP. */

import { seedAfter } from "../diffusion/seed.js";
import { Cancelled, EngineError, NotFinite } from "../errors.js";
import type { DiffusionPipeline } from "../pipeline/pipeline.js";
import type { GenerateRequest } from "../pipeline/request.js";
import { allAborted } from "./all-aborted.js";
import { imagesAtOnce } from "./batch.js";
import { Channel } from "./channel.js";
import { type ModelRegistry, modelNamed, type ServedModel } from "./model-registry.js";
import { PipelinePool, type PipelinePoolOptions } from "./pipeline-pool.js";
import type { JobProcessor, JobRequest, ProcessorEvent } from "./processor.js";
import type { ImageTexts } from "./request-texts.js";
import { requestedScheduler } from "./resolve-request.js";
import {
  type BatchItem,
  dropCancelled,
  jobsOf,
  type RunningJob,
  sendImages,
  sendPreviews,
  sendStep,
} from "./running-job.js";
import { requestedSafety } from "./served-safety.js";
import { StepRecorder } from "./step-recorder.js";
import { StepTimer } from "./step-timer.js";

/** A processor in this process; the networks run in a thread of each pipeline unless an engine is given. */
export function openProcessor(models: ModelRegistry, options: PipelinePoolOptions = {}): JobProcessor {
  const { signer } = options;
  const context = { pool: new PipelinePool(options), timer: new StepTimer(), signer };
  let closed = false;
  let last: Promise<void> = Promise.resolve();

  const run = async (batch: readonly RunningJob[]) => {
    try {
      if (closed) throw new Cancelled();
      await generateBatch(batch, modelNamed(models, batch[0]!.request.settings.model), context);
      for (const { events } of batch) events.end();
    } catch (error) {
      for (const { events } of batch) events.end({ error });
    }
  };

  return {
    models: [...models.values()].map(({ info }) => info),
    process: (jobs) => {
      const batch = jobs.map((job) => ({ ...job, events: new Channel<ProcessorEvent>() }));
      last = last.then(() => run(batch));
      return batch.map(({ events }) => events);
    },
    close: async () => {
      closed = true;
      await last;
      await context.pool.close();
    },
  };
}

type Context = { pool: PipelinePool; timer: StepTimer; signer: PipelinePoolOptions["signer"] };

/** All images of the batch, as many at once as `imagesAtOnce` allows. */
async function generateBatch(
  batch: readonly RunningJob[],
  model: ServedModel,
  context: Context,
): Promise<void> {
  const items = batch.flatMap((job) =>
    Array.from({ length: job.request.settings.count }, (_, index) => ({ job, index })),
  );
  const { settings } = batch[0]!.request;
  const atOnce = imagesAtOnce(settings);
  try {
    for (let start = 0; start < items.length; start += atOnce) {
      const some = items.slice(start, start + atOnce).filter(({ job }) => !dropCancelled(job));
      if (some.length > 0) await generateItems(some, model, context);
    }
  } catch (error) {
    // Numbers that are not finite are of this request or model, and the others on the engine stay loaded.
    if (error instanceof EngineError && !(error.cause instanceof NotFinite))
      await context.pool.discard(model);
    throw error;
  }
}

/** Images that share each call of the U-Net. */
async function generateItems(
  items: readonly BatchItem[],
  model: ServedModel,
  { pool, timer, signer }: Context,
): Promise<void> {
  const jobs = jobsOf(items);
  const { request } = jobs[0]!;
  const { width, height, guidanceScale } = request.settings;
  const pipeline = await pool.pipeline(model, request, items.length);
  pipeline.scheduler = requestedScheduler(request, model);
  // A server that does not know this worker's model left the rule to it.
  const safety = requestedSafety(request.settings.safety, model.info);
  const given = requestOf(items, allAborted(jobs.map((job) => job.signal)));
  const run = pipeline.stream({ ...given, ...(safety !== undefined && { safety }) });
  const recorder = request.settings.explainSteps ? new StepRecorder(items.length) : undefined;
  const timing = timer.begin(JSON.stringify([model.info.id, width, height, guidanceScale > 1, items.length]));
  let next = await nextOf(run, jobs);
  while (!next.done) {
    timing.step();
    recorder?.add(next.value);
    sendStep(items, next.value, timing);
    await sendPreviews(items, next.value);
    next = await nextOf(run, jobs);
  }
  const drawing = { width, height, factor: model.info.sizeMultiple, blurs: safety !== "off" };
  const predictions = recorder && ((i: number) => recorder.result(i, pipeline, drawing));
  await sendImages(items, next.value, { signer, predictions });
}

/** The next step; afterwards the jobs that were cancelled while it ran are ended. */
async function nextOf(run: ReturnType<DiffusionPipeline["stream"]>, jobs: readonly RunningJob[]) {
  const next = await run.next();
  jobs.forEach(dropCancelled);
  return next;
}

function requestOf(items: readonly BatchItem[], signal: AbortSignal): GenerateRequest {
  const { settings, image, mask } = items[0]!.job.request;
  const { clipSkip, strength, vaeTiling } = settings;
  const { promptSyntax, longPrompts = "chunks", padConditions, emphasis, dynamicPrompts } = settings;
  const templates = items.map(({ job }) => textsIn(job.request.settings));
  const texts: readonly ImageTexts[] = items.map(
    ({ job, index }, i) => job.request.texts?.[index] ?? templates[i]!,
  );
  const shared: Omit<GenerateRequest, "prompt"> = {
    seed: items.map(({ job, index }) => seedAfter(BigInt(job.request.settings.seed), index)),
    width: settings.width,
    height: settings.height,
    numInferenceSteps: settings.steps,
    guidanceScale: settings.guidanceScale,
    rng: settings.rng,
    longPrompts,
    ...(promptSyntax && { promptSyntax }),
    ...(padConditions && { padConditions }),
    ...(emphasis && { emphasis }),
    ...(clipSkip !== undefined && { clipSkip }),
    ...(vaeTiling !== undefined && { vaeTiling }),
    ...(settings.attentionMaps && { attentionMaps: true }),
    ...(image && { image }),
    ...(mask && { mask }),
    ...(image && strength !== undefined && { strength }),
    signal,
    onWarning: () => {}, // each image has its own
  };
  const hasNegative = settings.negativePrompt !== undefined;
  // A text that is generated several times is encoded once.
  if (jobsOf(items).length === 1 && !dynamicPrompts)
    return { ...shared, ...templates[0]!, numImagesPerPrompt: items.length };
  const negatives = (of: readonly ImageTexts[]) => of.map(({ negativePrompt = "" }) => negativePrompt);
  return {
    ...shared,
    prompt: texts.map(({ prompt }) => prompt),
    ...(hasNegative && { negativePrompt: negatives(texts) }),
    ...(dynamicPrompts && { promptTemplate: templates.map(({ prompt }) => prompt) }),
    ...(dynamicPrompts && hasNegative && { negativePromptTemplate: negatives(templates) }),
  };
}

const textsIn = ({ prompt, negativePrompt }: JobRequest["settings"]) => ({
  prompt,
  ...(negativePrompt !== undefined && { negativePrompt }),
});
