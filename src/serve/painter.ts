/** @file Paints orders with the pipelines of the served models, those of one shape together. Must not know queues or HTTP. */

import { Cancelled, EngineError } from "../errors.js";
import { encodePicture } from "../image/encode.js";
import type { Step } from "../pipeline/painter.js";
import type { Painting } from "../pipeline/painting.js";
import type { GenerateRequest } from "../pipeline/request.js";
import { batchKey, picturesAtOnce } from "./batch.js";
import { type Catalogue, modelNamed, type ServedModel } from "./catalogue.js";
import { Channel } from "./channel.js";
import { Pace, type PaceRun } from "./pace.js";
import { mediaTypes, type Order, type PaintEvent, type PainterService } from "./paint.js";
import { orderedScheduler } from "./settle.js";
import { Shelf, type ShelfOptions } from "./shelf.js";

/** An order that is being painted, and who hears of it. */
type Sitting = {
  order: Order;
  signal: AbortSignal;
  events: Channel<PaintEvent>;
  /** Network calls done and to do, of all its pictures. */
  step: number;
  total: number;
};

/** One picture of one order. */
type Place = { sitting: Sitting; index: number };

/** A painter in this process, whose networks run in a thread of their own. */
export function openPainter(catalogue: Catalogue, options: ShelfOptions = {}): PainterService {
  const shelf = new Shelf(options);
  const pace = new Pace();
  const waiting: Sitting[] = [];
  let working: Promise<void> | undefined;

  const work = async () => {
    while (waiting.length > 0) {
      const group = takeTogether(waiting);
      try {
        const model = modelNamed(catalogue, group[0]!.order.settings.model);
        await paintGroup(group, model, shelf, pace).catch(async (error) => {
          if (error instanceof EngineError) await shelf.discard(model);
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

/** The first that waits and those behind it that may share its batch, up to what is painted at once. */
function takeTogether(waiting: Sitting[]): Sitting[] {
  const [first] = waiting;
  const key = batchKey(first!.order);
  let room = picturesAtOnce(first!.order.settings) - first!.order.settings.count;
  const group = waiting.filter((sitting) => {
    if (sitting === first) return true;
    const fits = key !== undefined && sitting.order.settings.count <= room && batchKey(sitting.order) === key;
    if (fits) room -= sitting.order.settings.count;
    return fits;
  });
  for (const sitting of group) waiting.splice(waiting.indexOf(sitting), 1);
  return group;
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

/** Tells a cancelled order's listener so, once; the others of its batch go on. */
function dropCancelled({ signal, events }: Sitting): boolean {
  if (signal.aborted) events.end({ error: new Cancelled() });
  return signal.aborted;
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
  const pipeline = await shelf.pipeline(model);
  pipeline.scheduler = orderedScheduler(order, model);
  const warnings = new Set<string>();
  const signal = allAborted(sittings.map((sitting) => sitting.signal));
  const run = pipeline.stream(requestOf(batch, signal, (warning) => void warnings.add(warning)));
  const timing = pace.begin(JSON.stringify([model.card.id, width, height, guidanceScale > 1, batch.length]));
  let next = await nextOf(run, sittings);
  while (!next.done) {
    timing.step();
    report(batch, next.value, timing);
    if (batch.some(({ sitting }) => sitting.order.previews)) await sendPreviews(batch, next.value);
    next = await nextOf(run, sittings);
  }
  await sendImages(batch, next.value.images, [...warnings]);
}

type Run = ReturnType<Awaited<ReturnType<Shelf["pipeline"]>>["stream"]>;

/** The next step; afterwards orders that were cancelled while it ran are told. */
async function nextOf(run: Run, sittings: readonly Sitting[]) {
  const next = await run.next();
  sittings.forEach(dropCancelled);
  return next;
}

function requestOf(
  batch: readonly Place[],
  signal: AbortSignal,
  warn: (text: string) => void,
): GenerateRequest {
  const { settings, image, mask } = batch[0]!.sitting.order;
  const { clipSkip, strength } = settings;
  const texts = (read: (settings: Order["settings"]) => string) =>
    batch.map(({ sitting }) => read(sitting.order.settings));
  const shared: Omit<GenerateRequest, "prompt"> = {
    seed: batch.map(({ sitting, index }) => BigInt(sitting.order.settings.seed) + BigInt(index)),
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
    onWarning: warn,
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

function report(batch: readonly Place[], { index, total }: Step, timing: PaceRun): void {
  for (const sitting of new Set(batch.map((place) => place.sitting))) {
    const places = batch.filter((place) => place.sitting === sitting);
    const { count } = sitting.order.settings;
    // Known only now: a picture to begin with shortens it, some schedulers call the network twice a step.
    sitting.total = total * count;
    const before = places[0]!.index * total;
    sitting.step = before + (index + 1) * places.length;
    const batches = Math.ceil((count - places[0]!.index - places.length) / places.length);
    const secondsLeft = timing.left(total - index - 1 + batches * total);
    sitting.events.push({ type: "step", step: sitting.step, total: sitting.total, secondsLeft });
  }
}

async function sendPreviews(batch: readonly Place[], step: Step): Promise<void> {
  const pictures = step.preview;
  for (const [i, { sitting, index }] of batch.entries()) {
    if (!sitting.order.previews || sitting.signal.aborted) continue;
    const bytes = await encodePicture(pictures[i]!, "jpeg", { quality: 85 });
    sitting.events.push({ type: "preview", index, step: sitting.step, mediaType: "image/jpeg", bytes });
  }
}

async function sendImages(
  batch: readonly Place[],
  images: readonly Painting[],
  warnings: readonly string[],
): Promise<void> {
  for (const [i, { sitting, index }] of batch.entries()) {
    if (dropCancelled(sitting)) continue;
    const { outputFormat, quality } = sitting.order.settings;
    const { width, height, seed } = images[i]!;
    const bytes = await images[i]!.encode(outputFormat, quality === undefined ? {} : { quality });
    const mediaType = mediaTypes[outputFormat];
    const told = warnings.length > 0 ? { warnings: [...warnings] } : {};
    const image = { index, seed: String(seed), width, height, mediaType, ...told, bytes };
    sitting.events.push({ type: "image", image });
  }
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
