/** @file The work that every pipeline shares: prepare a request, run the loop, decode, keep the parts in memory. */

import type { Scheduler } from "../diffusion/schedulers/scheduler.js";
import { type Engine, floats, floatsOf } from "../engine/engine.js";
import { availableMemory } from "../engine/memory/available.js";
import { Cancelled, InvalidRequest } from "../errors.js";
import { type RgbImage, toRgbImage } from "../image/pixels.js";
import { input } from "../tensor/operations.js";
import type { Component } from "./component.js";
import { type Components, trainedSize } from "./components.js";
import { type Embeddings, join } from "./conditioning.js";
import { type Conditioning, type DenoiseStep, denoise } from "./denoise.js";
import { GeneratedImage } from "./generated-image.js";
import {
  cutoffTimestep,
  type EncodedImage,
  type ImageValues,
  type InpaintState,
  readImage,
  startFromImage,
  startFromNoise,
} from "./latents.js";
import { estimateMemory, type GenerationSize, planMemory, refuse } from "./memory-estimate.js";
import type { ImageMetadata, ModelMetadata } from "./metadata/schema.js";
import { imageMetadata, type LoadedWith, modelMetadata } from "./metadata/write.js";
import { modelDefaultsOf } from "./model-defaults.js";
import { type PreviewMethod, previewMethod, previews } from "./preview.js";
import { warnOfPrompts } from "./prompt-warnings.js";
import { readVocabulary } from "./read-vocabulary.js";
import { type CheckedRequest, checkRequest, type GenerateRequest } from "./request.js";
import { type Encoded, encodeTexts, type PromptText, type StateRule } from "./text-encoding.js";
import type { Words } from "./vocabulary.js";

/** One step of a running generation; `preview` makes small images of where it is going, one per image. */
export type Step = DenoiseStep & { preview: () => Promise<readonly RgbImage[]> };

export type GenerateResult = {
  images: readonly GeneratedImage[];
  /** [batch, 4, height / 8, width / 8], as the last step left them. */
  latents: Float32Array;
  /** The seed of each image, where seeds and not generators were given. */
  seeds: readonly bigint[] | undefined;
  /** What of the request was cut, changed or has no effect; `images[i].warnings` has those about that image. */
  warnings: readonly string[];
};

/** Everything that is known before the first network call of the loop. */
export type Prepared = {
  request: CheckedRequest;
  /** The text embeddings before the halves are joined, [batch, N, D] and [batch, P]. */
  embeddings: Embeddings;
  conditioning: Conditioning;
  timesteps: readonly number[];
  latents: Float32Array;
  /** Inpainting: what is put back after every step. */
  inpaint: InpaintState | undefined;
  shape: readonly [number, number, number, number];
};

/** What every pipeline shares. `scheduler` may be replaced between two generations. */
export abstract class BasePipeline {
  scheduler: Scheduler;
  readonly components: Components;
  readonly #engine: Engine;
  readonly #ownsEngine: boolean;
  readonly #loadedWith: LoadedWith;
  #model: ModelMetadata | undefined;
  #words: Promise<Words | undefined> | undefined;
  #preview: Promise<PreviewMethod> | undefined;
  #busy = false;
  /** Whether parts stay loaded: decided by each request. */
  #keeps = true;
  #planned: { key: string; bytes: ReturnType<typeof estimateMemory> } | undefined;

  constructor(components: Components, engine: Engine, ownsEngine: boolean, loadedWith: LoadedWith = {}) {
    this.components = components;
    this.scheduler = components.scheduler;
    this.#engine = engine;
    this.#ownsEngine = ownsEngine;
    this.#loadedWith = loadedWith;
  }

  /** What images say of this model: its name and fingerprint, without its place. */
  async model(): Promise<ModelMetadata> {
    return (this.#model ??= await modelMetadata(this.components, this.#loadedWith));
  }

  protected abstract embed(request: CheckedRequest): Promise<Embeddings>;

  /** Generates. Images come in the order of the prompts, all of a prompt's images together. */
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
        "this pipeline is generating already. Wait for it, or open a second pipeline.",
      );
    this.#busy = true;
    try {
      const prepared = await this.prepare(request);
      return yield* this.run(prepared);
    } finally {
      this.#busy = false;
    }
  }

  /** Checks the request, encodes its prompts, sets the schedule and draws the starting noise. */
  async prepare(request: GenerateRequest): Promise<Prepared> {
    const { unet, vae } = this.components;
    const { image: given, width, height } = request;
    const sizes: string[] = [];
    const warn = (message: string) => void sizes.push(message);
    const image =
      given === undefined || given instanceof Float32Array
        ? given
        : await readImage(given, vae.factor, { width, height, warn });
    const { width: ownWidth, height: ownHeight } =
      image === undefined || image instanceof Float32Array ? trainedSize(this.components) : image;
    const asked = checkRequest(request, {
      width: ownWidth,
      height: ownHeight,
      family: this.components.family,
      vaeFactor: vae.factor,
    });
    // Diffusers counts custom timesteps or sigmas as the number of steps, of which strength takes its share.
    const checked = { ...asked, numInferenceSteps: this.#schedule(asked) };
    const { warnings } = checked;
    for (const message of [...this.components.warnings, ...sizes]) warnings.add(message);
    if (checked.eta !== 0 && !this.scheduler.acceptsEta)
      warnings.add(`eta: has no effect with ${this.scheduler.className}, got ${checked.eta}`);
    this.#words ??= readVocabulary(this.components.folder.path);
    warnOfPrompts(checked, await this.#words);
    if (checked.signal?.aborted) throw new Cancelled();
    this.#planMemory(checked, image !== undefined && !(image instanceof Float32Array));
    const embeddings = await this.embed(checked);
    if (checked.signal?.aborted) throw new Cancelled();
    const shape = [
      checked.batch,
      unet.config.inChannels,
      checked.height / vae.factor,
      checked.width / vae.factor,
    ] as const;
    const start =
      image === undefined
        ? {
            latents: startFromNoise(this.scheduler, checked, shape),
            timesteps: this.scheduler.timesteps,
            inpaint: undefined,
          }
        : await startFromImage(this.scheduler, checked, shape, image, (image) => this.encodeImage(image));
    return {
      request: checked,
      embeddings,
      conditioning: join(embeddings, checked.guided),
      timesteps: until(start.timesteps, checked.denoisingEnd, this.scheduler),
      latents: start.latents,
      inpaint: start.inpaint,
      shape,
    };
  }

  /** Runs the loop and decodes. */
  async *run({
    request,
    conditioning,
    timesteps,
    latents,
    inpaint,
    shape,
  }: Prepared): AsyncGenerator<Step, GenerateResult> {
    const { unet, vae } = this.components;
    const records =
      request.outputType === "latent"
        ? undefined
        : await imageMetadata(request, await this.model(), this.scheduler);
    const session = await unet.part.session("unet", unet.trace);
    if (request.signal?.aborted) throw new Cancelled();
    const loop = denoise(
      { session, scheduler: this.scheduler, conditioning: conditioning, timesteps, inpaint: inpaint, shape },
      latents,
      request,
    );
    this.#preview ??= modelDefaultsOf(this.components.folder.path).then(({ defaults: modelDefaults }) =>
      previewMethod(this.components, modelDefaults),
    );
    const method = await this.#preview;
    const decode = (latents: Float32Array, h: number, w: number) => this.decode(latents, h, w);
    let step = await loop.next();
    while (!step.done) {
      const { predOriginalSample } = step.value;
      yield {
        ...step.value,
        preview: () => previews(predOriginalSample, shape, method, decode),
      };
      step = await loop.next();
    }
    await this.#makeRoom(vae.part);
    const final = step.value;
    const images = records ? await this.#decodeAll(final, shape, request, records) : [];
    return { images, latents: final, seeds: request.seeds, warnings: request.warnings.all };
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

  /** What the autoencoder makes of an image; its posterior is sampled by the caller. */
  async encodeImage({ data, width, height }: ImageValues): Promise<EncodedImage> {
    const { vae } = this.components;
    await this.#makeRoom(vae.part);
    const session = await vae.part.session("encode", (p) => ({
      moments: vae.encode(p, input("image", [{ B: 1 }, 3, { H: 64 }, { W: 64 }])),
    }));
    const moments = floatsOf((await session.run({ image: floats(data, 1, 3, height, width) })).moments);
    const size = vae.latentChannels * (height / vae.factor) * (width / vae.factor);
    const logvar = moments.length > size ? moments.subarray(size) : undefined;
    return { mean: moments.subarray(0, size), logvar, scalingFactor: vae.scalingFactor };
  }

  /** Frees the weights and ends the engine's thread, unless the caller brought the engine. */
  async close(): Promise<void> {
    for (const part of this.#parts()) await part.release();
    if (this.#ownsEngine) await this.#engine.close();
  }

  /** Encodes all texts with each text encoder; both pipelines take from the results what they need. */
  protected async encode(
    rule: StateRule,
    texts: readonly (readonly PromptText[])[],
    request: CheckedRequest,
  ): Promise<Encoded[]> {
    const { clipSkip, warnings } = request;
    const encoded: Encoded[] = [];
    for (const [i, encoder] of this.components.textEncoders.entries()) {
      await this.#makeRoom(encoder.part);
      encoded.push(
        await encodeTexts(encoder, texts[i]!, {
          rule,
          warnings,
          ...(clipSkip !== undefined && { clipSkip }),
        }),
      );
    }
    await this.#makeRoom(this.components.unet.part);
    return encoded;
  }

  /** Sets the schedule; returns the number of steps. */
  #schedule({ numInferenceSteps, timesteps, sigmas }: CheckedRequest): number {
    const custom = timesteps ? { timesteps } : sigmas ? { sigmas } : undefined;
    this.scheduler.setTimesteps(custom ? undefined : numInferenceSteps, custom);
    return custom ? this.scheduler.timesteps.length : numInferenceSteps;
  }

  async #decodeAll(
    latents: Float32Array,
    shape: Prepared["shape"],
    request: CheckedRequest,
    records: (index: number) => ImageMetadata,
  ): Promise<GeneratedImage[]> {
    const [batch, channels, h, w] = shape;
    const size = channels * h * w;
    const images: GeneratedImage[] = [];
    for (let i = 0; i < batch; i++) {
      if (request.signal?.aborted) throw new Cancelled();
      const image = await this.decode(latents.subarray(i * size, (i + 1) * size), h, w);
      const pixels = toRgbImage(image, request.width, request.height);
      images.push(new GeneratedImage(pixels, request.seeds?.[i], records(i)));
    }
    return images;
  }

  #parts(): Component[] {
    const { textEncoders, unet, vae } = this.components;
    return [...textEncoders.map((e) => e.part), unet.part, vae.part];
  }

  /** Whether a generation of this size fits into the memory that is left: with all components loaded, one by one, or not. */
  planMemory(size: GenerationSize): ReturnType<typeof planMemory> {
    const { bytes, available } = this.#memory(size);
    return planMemory(bytes, available);
  }

  /** Decides whether all parts stay loaded; throws if not even one after the other would fit. */
  #planMemory(request: CheckedRequest, encodes: boolean): void {
    const { width, height, batch, guided, ignoreMemory } = request;
    const size: GenerationSize = { width, height, batch, passes: guided ? 2 * batch : batch, encodes };
    const { bytes, available } = this.#memory(size);
    const fits = planMemory(bytes, available);
    if (fits === "no" && !ignoreMemory) refuse(this.components, size, bytes, available);
    this.#keeps = fits === "kept";
  }

  /** What the generation takes, and what it may take: the memory of its own loaded components is free for it. */
  #memory(size: GenerationSize) {
    const key = JSON.stringify(size);
    if (this.#planned?.key !== key) this.#planned = { key, bytes: estimateMemory(this.components, size) };
    const held = this.#parts().reduce((sum, part) => sum + (part.isLoaded ? part.bytes : 0), 0);
    return { bytes: this.#planned.bytes, available: availableMemory() + held };
  }

  /** Frees the other parts before `next` is loaded if they cannot all stay. */
  async #makeRoom(next: Component): Promise<void> {
    if (this.#keeps) return;
    for (const part of this.#parts()) if (part !== next) await part.release();
  }
}

/** The timesteps down to `denoisingEnd`, a fraction of the training range. */
function until(
  timesteps: readonly number[],
  denoisingEnd: number | undefined,
  scheduler: Scheduler,
): readonly number[] {
  if (denoisingEnd === undefined || denoisingEnd >= 1) return timesteps;
  const cutoff = cutoffTimestep(scheduler, denoisingEnd);
  return timesteps.slice(0, timesteps.filter((t) => t >= cutoff).length);
}
