/**
 * @file The pipelines: a prompt becomes a picture. Thin classes under Diffusers' names; the work is in `text.ts`,
 * `denoise.ts` and the schedulers, which can be used alone.
 */

import { randn } from "../diffusion/random.js";
import type { Scheduler } from "../diffusion/scheduler.js";
import type { Engine, Values } from "../engine/engine.js";
import { floats, floatsOf } from "../engine/engine.js";
import { workerEngine } from "../engine/node.js";
import { Cancelled, InvalidRequest, ModelError } from "../errors.js";
import type { Picture } from "../image/pixels.js";
import { toPicture } from "../image/pixels.js";
import { type LatentKind, previewLatents } from "../image/preview.js";
import { input } from "../tensor/tensor.js";
import { type Conditions, type DenoiseStep, denoise } from "./denoise.js";
import { type ComponentOptions, type Components, loadComponents, textWidth } from "./load.js";
import { Painting } from "./painting.js";
import type { Part } from "./part.js";
import { type CheckedRequest, checkRequest, type GenerateRequest } from "./request.js";
import { type Encoded, encodeTexts, type StateRule, sideBySide } from "./text.js";

export type LoadOptions = Omit<ComponentOptions, "engine"> & {
  /** Threads of one operation; 0, the default, is one per core. */
  threads?: number;
  /** Runs the networks; a worker thread of its own if left out. */
  engine?: Engine;
};

/** One step of a running generation, with a small picture of where it is going. */
export type Step = DenoiseStep & { preview: readonly Picture[] };

export type GenerateResult = {
  images: readonly Painting[];
  /** [batch, 4, height / 8, width / 8], as the last step left them. */
  latents: Float32Array;
  /** The seed of each image, where seeds and not generators were given. */
  seeds: readonly bigint[] | undefined;
};

/** Everything that is known before the first network call of the loop. */
export type Prepared = {
  request: CheckedRequest;
  /** The text embeddings before the halves are joined, [batch, N, D] and [batch, P]. */
  embeddings: Embeddings;
  conditions: Conditions;
  timesteps: readonly number[];
  latents: Float32Array;
  shape: readonly [number, number, number, number];
};

export type Embeddings = {
  prompt: Values;
  negative: Values | undefined;
  pooled: Values | undefined;
  negativePooled: Values | undefined;
  /** SDXL's size conditions: [batch, 6] */
  timeIds: Values | undefined;
  negativeTimeIds: Values | undefined;
};

/** What both pipelines share. `scheduler` may be replaced between two generations. */
export abstract class DiffusionPipeline {
  scheduler: Scheduler;
  readonly components: Components;
  readonly #engine: Engine;
  readonly #ownsEngine: boolean;
  #busy = false;

  constructor(components: Components, engine: Engine, ownsEngine: boolean) {
    this.components = components;
    this.scheduler = components.scheduler;
    this.#engine = engine;
    this.#ownsEngine = ownsEngine;
  }

  /** Opens a diffusers folder as whatever pipeline its model_index.json names. Weights are read at first use. */
  static async fromPretrained(folder: string, options: LoadOptions = {}): Promise<DiffusionPipeline> {
    const engine = options.engine ?? workerEngine({ threads: options.threads ?? 0 });
    try {
      return make(await loadComponents(folder, { ...options, engine }), engine, options.engine === undefined);
    } catch (error) {
      if (!options.engine) await engine.close();
      throw error;
    }
  }

  /** Guidance when the caller gives none. */
  protected abstract readonly defaultGuidance: number;
  protected abstract readonly previewKind: LatentKind;
  protected abstract embed(request: CheckedRequest): Promise<Embeddings>;

  /** Paints. Pictures come in the order of the prompts, all of a prompt's pictures together. */
  async generate(request: GenerateRequest): Promise<GenerateResult> {
    const run = this.stream(request);
    let next = await run.next();
    while (!next.done) {
      const { index, total, timestep } = next.value;
      request.onStep?.({ index, total, timestep });
      next = await run.next();
    }
    return next.value;
  }

  /** The same, step by step; the generator's return value is the result. Leaving the loop early stops the work. */
  async *stream(request: GenerateRequest): AsyncGenerator<Step, GenerateResult> {
    if (this.#busy)
      throw new InvalidRequest(
        "prompt",
        request.prompt,
        "this pipeline is painting already. Wait for it, or open a second pipeline.",
      );
    this.#busy = true;
    try {
      const prepared = await this.prepare(request);
      return yield* this.paint(prepared);
    } finally {
      this.#busy = false;
    }
  }

  /** Checks the request, encodes its prompts, sets the schedule and draws the starting noise. */
  async prepare(request: GenerateRequest): Promise<Prepared> {
    const { unet, vae } = this.components;
    const size = (unet.config.sampleSize ?? 64) * vae.factor;
    const checked = checkRequest(request, {
      size,
      guidanceScale: this.defaultGuidance,
      vaeFactor: vae.factor,
    });
    if (checked.signal?.aborted) throw new Cancelled();
    const embeddings = await this.embed(checked);
    if (checked.signal?.aborted) throw new Cancelled();
    const timesteps = this.#schedule(checked);
    const shape = [
      checked.batch,
      unet.config.inChannels,
      checked.height / vae.factor,
      checked.width / vae.factor,
    ] as const;
    const noise = this.#noise(
      checked,
      shape.reduce((a, b) => a * b, 1),
    );
    const sigma = Math.fround(this.scheduler.initNoiseSigma);
    const latents = noise.map((v) => v * sigma);
    return {
      request: checked,
      embeddings,
      conditions: join(embeddings, checked.guided),
      timesteps,
      latents,
      shape,
    };
  }

  /** Runs the loop and decodes. */
  async *paint({
    request,
    conditions,
    timesteps,
    latents,
    shape,
  }: Prepared): AsyncGenerator<Step, GenerateResult> {
    const { unet, vae } = this.components;
    const session = await unet.part.session("unet", unet.trace);
    if (request.signal?.aborted) throw new Cancelled();
    const loop = denoise(
      { session, scheduler: this.scheduler, conditions, timesteps, shape },
      latents,
      request,
    );
    const kind = this.previewKind;
    let step = await loop.next();
    while (!step.done) {
      const { predOriginalSample } = step.value;
      yield {
        ...step.value,
        get preview() {
          return previews(predOriginalSample, shape, kind);
        },
      };
      step = await loop.next();
    }
    await this.#makeRoom(vae.part);
    const final = step.value;
    const images = request.outputType === "latent" ? [] : await this.#decodeAll(final, shape, request);
    return { images, latents: final, seeds: request.seeds };
  }

  /** latents: [1, 4, h, w] as the loop leaves them -> [3, 8h, 8w] in about -1..1 */
  async decode(latents: Float32Array, height: number, width: number): Promise<Float32Array> {
    const { vae } = this.components;
    const session = await vae.part.session("decode", (p) => ({
      image: vae.decode(p, input("latents", [{ B: 1 }, vae.latentChannels, { H: 8 }, { W: 8 }])),
    }));
    const unscaled = latents.map((v) => v / vae.scalingFactor);
    const { image } = await session.run({ latents: floats(unscaled, 1, vae.latentChannels, height, width) });
    return floatsOf(image);
  }

  /** Frees the weights and ends the engine's thread, unless the caller brought the engine. */
  async close(): Promise<void> {
    for (const part of this.#parts()) await part.release();
    if (this.#ownsEngine) await this.#engine.close();
  }

  /** Encodes all texts with each text encoder; both pipelines take from the results what they need. */
  protected async encode(
    rule: StateRule,
    texts: readonly (readonly string[])[],
    request: CheckedRequest,
  ): Promise<Encoded[]> {
    const { clipSkip, warn } = request;
    const encoded: Encoded[] = [];
    for (const [i, encoder] of this.components.textEncoders.entries()) {
      await this.#makeRoom(encoder.part);
      encoded.push(
        await encodeTexts(encoder, texts[i]!, { rule, warn, ...(clipSkip !== undefined && { clipSkip }) }),
      );
    }
    await this.#makeRoom(this.components.unet.part);
    return encoded;
  }

  #schedule({ numInferenceSteps, timesteps, sigmas, denoisingEnd }: CheckedRequest): readonly number[] {
    const custom = timesteps ? { timesteps } : sigmas ? { sigmas } : undefined;
    if (custom) this.scheduler.setTimesteps(undefined, custom);
    else this.scheduler.setTimesteps(numInferenceSteps);
    const all = this.scheduler.timesteps;
    if (denoisingEnd === undefined || denoisingEnd >= 1) return all;
    const trained = Number(this.scheduler.config["numTrainTimesteps"] ?? 1000);
    const cutoff = Math.round(trained - denoisingEnd * trained);
    return all.slice(0, all.filter((t) => t >= cutoff).length);
  }

  #noise({ latents, generators, batch }: CheckedRequest, length: number): Float32Array {
    if (Array.isArray(generators) && generators.length !== batch) {
      throw new InvalidRequest(
        "generator",
        generators,
        `must be one generator or ${batch}, one per image, got ${generators.length}.`,
      );
    }
    if (!latents) return randn(length, generators);
    if (latents.length !== length) {
      throw new InvalidRequest(
        "latents",
        latents,
        `must hold ${length} numbers for this size and batch, got ${latents.length}.`,
      );
    }
    if (!latents.every(Number.isFinite))
      throw new InvalidRequest("latents", latents, "must be finite, got NaN or infinity.");
    return latents;
  }

  async #decodeAll(
    latents: Float32Array,
    shape: Prepared["shape"],
    request: CheckedRequest,
  ): Promise<Painting[]> {
    const [batch, channels, h, w] = shape;
    const size = channels * h * w;
    const images: Painting[] = [];
    for (let i = 0; i < batch; i++) {
      if (request.signal?.aborted) throw new Cancelled();
      const image = await this.decode(latents.subarray(i * size, (i + 1) * size), h, w);
      images.push(new Painting(toPicture(image, request.width, request.height), request.seeds?.[i]));
    }
    return images;
  }

  #parts(): Part[] {
    const { textEncoders, unet, vae } = this.components;
    return [...textEncoders.map((e) => e.part), unet.part, vae.part];
  }

  /** Frees the other parts before `next` is loaded if all of them together would not fit in half the free memory. */
  async #makeRoom(next: Part): Promise<void> {
    const parts = this.#parts();
    const bytes = parts.reduce((sum, part) => sum + part.bytes, 0);
    if (bytes * 2 < process.availableMemory()) return;
    for (const part of parts) if (part !== next) await part.release();
  }
}

/** Stable Diffusion XL, KOALA, SSD-1B: two text encoders, pooled text and sizes as further conditions. */
export class StableDiffusionXLPipeline extends DiffusionPipeline {
  protected override readonly defaultGuidance = 5;
  protected override readonly previewKind = "sdxl";

  static override async fromPretrained(
    folder: string,
    options: LoadOptions = {},
  ): Promise<StableDiffusionXLPipeline> {
    return expectClass(
      await DiffusionPipeline.fromPretrained(folder, options),
      StableDiffusionXLPipeline,
      folder,
    );
  }

  protected override async embed(request: CheckedRequest): Promise<Embeddings> {
    const { prompts, prompts2, guided } = request;
    const zeros =
      request.negativePrompts === undefined &&
      this.components.folder.settings["force_zeros_for_empty_prompt"] !== false;
    const encodeNegative = guided && !zeros;
    const negatives = encodeNegative ? (request.negativePrompts ?? prompts.map(() => "")) : [];
    const negatives2 = encodeNegative ? (request.negativePrompts2 ?? negatives) : [];
    const [first, second] = await this.encode(
      "penultimate",
      [
        [...prompts, ...negatives],
        [...prompts2, ...negatives2],
      ],
      request,
    );
    const rows = (at: "skipped" | "plain", from: number) =>
      prompts.map((_, i) => sideBySide(first!, first![at][from + i]!, second!, second![at][from + i]!));
    const n = prompts.length;
    const state = (texts: readonly Float32Array[]) =>
      perImage(texts, request.perPrompt, first!.tokens, first!.width + second!.width);
    const width = second!.pooled[0]!.length;
    const pooled = (from: number) => perImage(second!.pooled.slice(from, from + n), request.perPrompt, width);
    const prompt = state(rows("skipped", 0));
    const pooledPrompt = pooled(0);
    const blank = ({ data, shape }: Values) => ({ data: new Float32Array(data.length), shape });
    const [ids, negativeIds] = timeIds(request);
    return {
      prompt,
      pooled: pooledPrompt,
      negative: guided ? (zeros ? blank(prompt) : state(rows("plain", n))) : undefined,
      negativePooled: guided ? (zeros ? blank(pooledPrompt) : pooled(n)) : undefined,
      timeIds: perImage([ids], request.batch, 6),
      negativeTimeIds: guided ? perImage([negativeIds], request.batch, 6) : undefined,
    };
  }
}

/** Stable Diffusion 2: one text encoder, its last state normalised. */
export class StableDiffusionPipeline extends DiffusionPipeline {
  protected override readonly defaultGuidance = 7.5;
  protected override readonly previewKind = "sd";

  static override async fromPretrained(
    folder: string,
    options: LoadOptions = {},
  ): Promise<StableDiffusionPipeline> {
    return expectClass(
      await DiffusionPipeline.fromPretrained(folder, options),
      StableDiffusionPipeline,
      folder,
    );
  }

  protected override async embed(request: CheckedRequest): Promise<Embeddings> {
    const { prompts, guided, perPrompt } = request;
    refuseXlOnly(request);
    const negatives = guided ? (request.negativePrompts ?? prompts.map(() => "")) : [];
    const [encoded] = await this.encode("normed", [[...prompts, ...negatives]], request);
    const { skipped, plain, tokens, width } = encoded!;
    const n = prompts.length;
    return {
      prompt: perImage(skipped.slice(0, n), perPrompt, tokens, width),
      negative: guided ? perImage(plain.slice(n), perPrompt, tokens, width) : undefined,
      pooled: undefined,
      negativePooled: undefined,
      timeIds: undefined,
      negativeTimeIds: undefined,
    };
  }
}

function make(components: Components, engine: Engine, owns: boolean): DiffusionPipeline {
  const { folder, unet, textEncoders } = components;
  const text = textEncoders.reduce((sum, e) => sum + e.config.width, 0);
  if (text !== textWidth(unet.config)) {
    throw new ModelError(
      "unet/config.json",
      `cross_attention_dim: must be the text encoders' width ${text}, got ${textWidth(unet.config)}.`,
    );
  }
  switch (folder.className) {
    case "StableDiffusionXLPipeline":
      return new StableDiffusionXLPipeline(components, engine, owns);
    case "StableDiffusionPipeline":
      return new StableDiffusionPipeline(components, engine, owns);
    default: {
      const known = "StableDiffusionXLPipeline or StableDiffusionPipeline";
      throw new ModelError(
        "model_index.json",
        `_class_name: must be ${known}, got ${JSON.stringify(folder.className)}.`,
      );
    }
  }
}

function expectClass<T extends DiffusionPipeline>(
  pipeline: DiffusionPipeline,
  wanted: abstract new (...args: never[]) => T,
  folder: string,
): T {
  if (pipeline instanceof wanted) return pipeline;
  const problem = `_class_name: must be ${wanted.name}, got ${pipeline.constructor.name}.`;
  void pipeline.close();
  throw new ModelError(
    `${folder}/model_index.json`,
    `${problem} Open it with DiffusionPipeline.fromPretrained.`,
  );
}

/** Each row `times` times in a row, as one batch of rows of the given shape. */
function perImage(rows: readonly Float32Array[], times: number, ...shape: number[]): Values {
  const size = shape.reduce((a, b) => a * b, 1);
  const data = new Float32Array(rows.length * times * size);
  rows.forEach((row, i) => {
    for (let k = 0; k < times; k++) data.set(row, (i * times + k) * size);
  });
  return { data, shape: [rows.length * times, ...shape] };
}

/** The unconditional half, if there is one, before the conditional half. */
function join(e: Embeddings, guided: boolean): Conditions {
  const both = (negative: Values | undefined, positive: Values): Values => {
    if (!guided) return positive;
    const data = new Float32Array(2 * positive.data.length);
    data.set(negative!.data as Float32Array);
    data.set(positive.data as Float32Array, positive.data.length);
    return { data, shape: [2 * positive.shape[0]!, ...positive.shape.slice(1)] };
  };
  const text = { encoder_hidden_states: both(e.negative, e.prompt) };
  if (!e.pooled || !e.timeIds) return text;
  return {
    ...text,
    text_embeds: both(e.negativePooled, e.pooled),
    time_ids: both(e.negativeTimeIds, e.timeIds),
  };
}

/** SDXL section 2.2: (height, width) of the original, of the crop's corner and of the target. */
function timeIds(request: CheckedRequest): [Float32Array, Float32Array] {
  const { originalSize, targetSize, cropsCoordsTopLeft = [0, 0], height, width } = request;
  const full = [height, width] as const;
  const ids = Float32Array.of(...(originalSize ?? full), ...cropsCoordsTopLeft, ...(targetSize ?? full));
  const { negativeOriginalSize, negativeTargetSize, negativeCropsCoordsTopLeft = [0, 0] } = request;
  if (!negativeOriginalSize || !negativeTargetSize) return [ids, ids];
  return [
    ids,
    Float32Array.of(...negativeOriginalSize, ...negativeCropsCoordsTopLeft, ...negativeTargetSize),
  ];
}

/** Arguments that only SDXL's pipeline has in Diffusers. */
function refuseXlOnly(request: CheckedRequest): void {
  const fields = [
    "prompt2",
    "negativePrompt2",
    "denoisingEnd",
    "originalSize",
    "cropsCoordsTopLeft",
    "targetSize",
    "negativeOriginalSize",
    "negativeCropsCoordsTopLeft",
    "negativeTargetSize",
  ] as const;
  const given = fields.find((field) => request[field] !== undefined);
  if (given)
    throw new InvalidRequest(
      given,
      request[given],
      "belongs to SDXL models; this one is Stable Diffusion 2. Leave it out.",
    );
}

function previews(
  latents: Float32Array,
  [batch, channels, h, w]: Prepared["shape"],
  kind: LatentKind,
): Picture[] {
  const size = channels * h * w;
  return Array.from({ length: batch }, (_, i) =>
    previewLatents(latents.subarray(i * size, (i + 1) * size), { h, w, kind }),
  );
}
