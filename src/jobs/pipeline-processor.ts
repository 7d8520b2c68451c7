/** @file Paints orders with the pipelines of the served models, those of one shape together. Must not know queues or HTTP. */

import { seedAfter } from "../diffusion/seed.js";
import { Cancelled, EngineError } from "../errors.js";
import type { GenerateRequest } from "../pipeline/request.js";
import { picturesAtOnce, takeTogether } from "./batch.js";
import { Channel } from "./channel.js";
import { type Catalogue, modelNamed, type ServedModel } from "./model-registry.js";
import { Shelf, type ShelfOptions } from "./pipeline-pool.js";
import type { Order, PaintEvent, PainterService } from "./processor.js";
import { orderedScheduler } from "./resolve-request.js";
import { dropCancelled, type Place, report, type Sitting, sendImages, sendPreviews } from "./running-job.js";
import { Pace } from "./step-timer.js";

/** A painter in this process, whose networks run in a thread of their own. */
export function openPainter(catalogue: Catalogue, options: ShelfOptions = {}): PainterService {
  const shelf = new Shelf(options);
  const pace = new Pace();
  const waiting: Sitting[] = [];
  let working: Promise<void> | undefined;

  const work = async () => {
    while (waiting.length > 0) {
      const group = takeTogether(waiting, ({ order }) => order);
      for (const sitting of group) waiting.splice(waiting.indexOf(sitting), 1);
      try {
        const model = modelNamed(catalogue, group[0]!.order.settings.model);
        await paintGroup(group, model, shelf, pace).catch(async (error) => {
          if (error instanceof EngineError) await shelf.discard(model, group[0]!.order.settings.lora);
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
    models: [...catalogue.values()].map(({ card }) => card),
    paint: (order, signal) => {
      const { steps, count } = order.settings;
      const events = new Channel<PaintEvent>();
      waiting.push({ order, signal, events, step: 0, total: steps * count });
      // Orders that are given in one turn of the event loop find each other.
      working ??= new Promise((resolve) => setImmediate(resolve)).then(work);
      return events;
    },
    close: async () => {
      for (const { events } of waiting.splice(0)) events.end({ error: new Cancelled() });
      await working;
      await shelf.close();
    },
  };
}

async function paintGroup(
  group: readonly Sitting[],
  model: ServedModel,
  shelf: Shelf,
  pace: Pace,
): Promise<void> {
  const places = group.flatMap((sitting) =>
    Array.from({ length: sitting.order.settings.count }, (_, index) => ({ sitting, index })),
  );
  const atOnce = picturesAtOnce(group[0]!.order.settings);
  for (let at = 0; at < places.length; at += atOnce) {
    const batch = places.slice(at, at + atOnce).filter(({ sitting }) => !dropCancelled(sitting));
    if (batch.length > 0) await paintBatch(batch, model, shelf, pace);
  }
}

async function paintBatch(
  batch: readonly Place[],
  model: ServedModel,
  shelf: Shelf,
  pace: Pace,
): Promise<void> {
  const sittings = [...new Set(batch.map(({ sitting }) => sitting))];
  const { order } = sittings[0]!;
  const { width, height, guidanceScale } = order.settings;
  const pipeline = await shelf.pipeline(model, order.settings.lora);
  pipeline.scheduler = orderedScheduler(order, model);
  const signal = allAborted(sittings.map((sitting) => sitting.signal));
  const run = pipeline.stream(requestOf(batch, signal));
  const timing = pace.begin(JSON.stringify([model.card.id, width, height, guidanceScale > 1, batch.length]));
  let next = await nextOf(run, sittings);
  while (!next.done) {
    timing.step();
    report(batch, next.value, timing);
    if (batch.some(({ sitting }) => sitting.order.previews)) await sendPreviews(batch, next.value);
    next = await nextOf(run, sittings);
  }
  await sendImages(batch, next.value.images);
}

type Run = ReturnType<Awaited<ReturnType<Shelf["pipeline"]>>["stream"]>;

/** The next step; afterwards orders that were cancelled while it ran are told. */
async function nextOf(run: Run, sittings: readonly Sitting[]) {
  const next = await run.next();
  sittings.forEach(dropCancelled);
  return next;
}

function requestOf(batch: readonly Place[], signal: AbortSignal): GenerateRequest {
  const { settings, image, mask } = batch[0]!.sitting.order;
  const { clipSkip, strength } = settings;
  const texts = (read: (settings: Order["settings"]) => string) =>
    batch.map(({ sitting }) => read(sitting.order.settings));
  const shared: Omit<GenerateRequest, "prompt"> = {
    seed: batch.map(({ sitting, index }) => seedAfter(BigInt(sitting.order.settings.seed), index)),
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
  // A text that is painted several times is encoded once.
  if (new Set(batch.map(({ sitting }) => sitting)).size === 1) {
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
