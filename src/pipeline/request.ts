/** @file What a caller may ask for, with Diffusers' names in camelCase, and what it means when left out. */

import { CudaGenerator } from "../diffusion/philox.js";
import { Generator, type NoiseSource } from "../diffusion/random.js";
import { resolveSeed, type Seed, seedAfter } from "../diffusion/seed.js";
import { InvalidRequest } from "../errors.js";
import type { Family } from "../weights/pipeline-class.js";
import { diffusersDefaults, type KindDefaults, requestKind } from "./diffusers-defaults.js";
import type { ImageInput } from "./latents.js";
import { Warnings } from "./warnings.js";

export type Size2 = readonly [height: number, width: number];

/** The arguments of Diffusers' `__call__`, and `seed`, `signal`, `onStep` and `onWarning` of our own. */
export type GenerateRequest = {
  prompt: string | readonly string[];
  /** For SDXL's second text encoder; `prompt` if left out. */
  prompt2?: string | readonly string[];
  negativePrompt?: string | readonly string[];
  negativePrompt2?: string | readonly string[];
  /** Pixels, multiples of 8; the size the model was trained at if left out. */
  height?: number;
  width?: number;
  /** 50 if left out. Of no effect with `timesteps` or `sigmas`, which say how many there are. */
  numInferenceSteps?: number;
  timesteps?: readonly number[];
  sigmas?: readonly number[];
  /** Stops after this fraction of the schedule and returns latents as they are (SDXL). */
  denoisingEnd?: number;
  /** Above 1 an unconditional pass runs as well. If left out 5 for SDXL models, 7.5 with a mask or for others. */
  guidanceScale?: number;
  guidanceRescale?: number;
  /** Noise of DDIM's steps (1 is DDPM's) and of TCD's, 0 if left out, as in all of Diffusers' pipelines. */
  eta?: number;
  clipSkip?: number;
  numImagesPerPrompt?: number;
  /** One generator for the whole batch, or one per image. Takes precedence over `seed`. */
  generator?: NoiseSource | readonly NoiseSource[];
  /**
   * Image i of the batch is generated from seed + i, or from the i-th of a list, exactly as if it were generated
   * alone. -1, or left out, draws one; other negative seeds mean what they mean to PyTorch, 2^64 more.
   */
  seed?: Seed | readonly Seed[];
  /** Whose `randn` a seed means: PyTorch's on the CPU, or on a CUDA device. "cpu" if left out. */
  rng?: "cpu" | "cuda";
  /** Start from these instead of noise: [batch, 4, height / 8, width / 8], before scaling by the scheduler. */
  latents?: Float32Array;
  /** Image-to-image: begin with this image. Its size is the result's, rounded down to a multiple of 8, unless
   * width and height say another, to which it is stretched. Float32Array: latents, scaled already. */
  image?: ImageInput | Float32Array;
  /** Inpainting: generate anew where this image is white, keep `image` where it is black. */
  mask?: ImageInput;
  /**
   * How far to move away from `image`: the share of the steps that is run. If left out 0.3 for SDXL models and 0.8 for
   * Stable Diffusion, with a mask 0.9999 and 1 (`diffusersDefaults`).
   */
  strength?: number;
  /** Takes over latents at this fraction of the schedule, without adding noise (`image` from `denoisingEnd`). */
  denoisingStart?: number;
  originalSize?: Size2;
  cropsCoordsTopLeft?: Size2;
  targetSize?: Size2;
  negativeOriginalSize?: Size2;
  negativeCropsCoordsTopLeft?: Size2;
  negativeTargetSize?: Size2;
  /** Generate even if it is predicted not to fit into memory. */
  ignoreMemory?: boolean;
  /** "latent" leaves out the decoding. */
  outputType?: "image" | "latent";
  signal?: AbortSignal;
  onStep?: (step: { index: number; total: number; timestep: number }) => void;
  /** Told what was cut or changed; `console.warn` if left out. */
  onWarning?: (message: string) => void;
};

export type ModelDefaults = { width: number; height: number; family: Family; vaeFactor: number };

/** A request with every default filled in and every bound checked. */
export type CheckedRequest = GenerateRequest & {
  prompts: readonly string[];
  /** Absent when no negative prompt was given at all. */
  negativePrompts: readonly string[] | undefined;
  prompts2: readonly string[];
  negativePrompts2: readonly string[] | undefined;
  height: number;
  width: number;
  numInferenceSteps: number;
  guidanceScale: number;
  guidanceRescale: number;
  perPrompt: number;
  /** Images in the batch. */
  batch: number;
  guided: boolean;
  strength: number;
  eta: number;
  generators: NoiseSource | readonly NoiseSource[];
  /** The seed of each image, where seeds and not generators were given. */
  seeds: readonly bigint[] | undefined;
  warnings: Warnings;
};

/** Checks a request against a model's defaults; throws an InvalidRequest that names the field. */
export function checkRequest(request: GenerateRequest, defaults: ModelDefaults): CheckedRequest {
  const prompts = texts("prompt", request.prompt);
  const perPrompt = whole("numImagesPerPrompt", request.numImagesPerPrompt ?? 1, 1, 1024);
  const batch = prompts.length * perPrompt;
  const like = (field: "prompt2" | "negativePrompt" | "negativePrompt2") => {
    const value = request[field];
    if (value === undefined) return undefined;
    const list = texts(field, value);
    if (list.length === prompts.length) return list;
    if (list.length === 1) return prompts.map(() => list[0]!);
    throw new InvalidRequest(
      field,
      value,
      `must be one text or ${prompts.length}, one per prompt, got ${list.length}.`,
    );
  };
  const negativePrompts = like("negativePrompt");
  const own = diffusersDefaults[defaults.family][requestKind(request)];
  const guidanceScale = finite("guidanceScale", request.guidanceScale ?? own.guidanceScale);
  const { generator } = request;
  if (Array.isArray(generator) && generator.length !== batch) {
    throw new InvalidRequest(
      "generator",
      generator,
      `must be one generator or ${batch}, one per image, got ${generator.length}.`,
    );
  }
  const seeds = generator === undefined ? seedsOf(request.seed, batch) : undefined;
  const { denoisingEnd, timesteps, sigmas, rng = "cpu" } = request;
  if (rng !== "cpu" && rng !== "cuda")
    throw new InvalidRequest("rng", rng, `must be "cpu" or "cuda", got ${JSON.stringify(rng)}.`);
  if (timesteps && sigmas)
    throw new InvalidRequest("sigmas", sigmas, "cannot be given together with timesteps. Leave one out.");
  if (denoisingEnd !== undefined && !(denoisingEnd > 0 && denoisingEnd <= 1)) {
    throw new InvalidRequest(
      "denoisingEnd",
      denoisingEnd,
      `must be above 0 and at most 1, got ${denoisingEnd}.`,
    );
  }
  if (request.outputType !== undefined && !["image", "latent"].includes(request.outputType)) {
    throw new InvalidRequest(
      "outputType",
      request.outputType,
      `must be "image" or "latent", got ${JSON.stringify(request.outputType)}.`,
    );
  }
  return {
    ...request,
    prompts,
    prompts2: like("prompt2") ?? prompts,
    negativePrompts,
    negativePrompts2: like("negativePrompt2") ?? negativePrompts,
    height: side("height", request.height ?? defaults.height, defaults.vaeFactor),
    width: side("width", request.width ?? defaults.width, defaults.vaeFactor),
    numInferenceSteps: whole("numInferenceSteps", request.numInferenceSteps ?? own.steps, 1, 1000),
    guidanceScale,
    guidanceRescale: finite("guidanceRescale", request.guidanceRescale ?? 0),
    perPrompt,
    batch,
    guided: guidanceScale > 1,
    strength: strengthOf(request, own),
    eta: finite("eta", request.eta ?? 0),
    seeds,
    generators:
      generator ?? seeds!.map((seed) => (rng === "cpu" ? new Generator(seed) : new CudaGenerator(seed))),
    warnings: new Warnings(request.onWarning),
  };
}

/** Checks what belongs together with an image. */
function strengthOf(request: GenerateRequest, own: KindDefaults): number {
  const { image, mask, strength, denoisingStart, denoisingEnd, latents } = request;
  const alone = Object.entries({ mask, strength, denoisingStart }).find(([, value]) => value !== undefined);
  if (image === undefined && alone)
    throw new InvalidRequest(alone[0], alone[1], "needs an image to begin with. Give image as well.");
  if (image !== undefined && latents)
    throw new InvalidRequest("latents", latents, "cannot be given together with image. Leave one out.");
  const value = strength ?? own.strength;
  if (!(value >= 0 && value <= 1))
    throw new InvalidRequest("strength", value, `must be from 0 to 1, got ${value}.`);
  if (denoisingStart !== undefined && !(denoisingStart > 0 && denoisingStart < (denoisingEnd ?? 1))) {
    throw new InvalidRequest(
      "denoisingStart",
      denoisingStart,
      `must be above 0 and below ${denoisingEnd === undefined ? "1" : "denoisingEnd"}, got ${denoisingStart}.`,
    );
  }
  return value;
}

function texts(field: string, value: unknown): readonly string[] {
  const list: readonly unknown[] = Array.isArray(value) ? value : [value];
  if (list.length === 0)
    throw new InvalidRequest(field, value, "must hold at least one text, got an empty list.");
  for (const text of list) {
    if (typeof text !== "string")
      throw new InvalidRequest(field, value, `must be text, got ${JSON.stringify(text) ?? typeof text}.`);
  }
  return list as readonly string[];
}

function whole(field: string, value: number, least: number, most: number): number {
  if (Number.isInteger(value) && value >= least && value <= most) return value;
  throw new InvalidRequest(field, value, `must be a whole number from ${least} to ${most}, got ${value}.`);
}

function finite(field: string, value: number): number {
  if (Number.isFinite(value)) return value;
  throw new InvalidRequest(field, value, `must be a finite number, got ${value}.`);
}

/** An image's height or width in pixels. */
export function side(field: string, value: number, factor: number): number {
  const most = 8192;
  whole(field, value, factor, most);
  if (value % factor === 0) return value;
  const below = Math.floor(value / factor) * factor;
  throw new InvalidRequest(
    field,
    value,
    `must be a multiple of ${factor}, got ${value}. Nearest: ${below} or ${below + factor}.`,
  );
}

function seedsOf(seed: Seed | readonly Seed[] | undefined, count: number): bigint[] {
  if (typeof seed === "object") {
    if (seed.length === count) return seed.map(resolveSeed);
    const rule = `must be one seed or ${count}, one per image, got ${seed.length}.`;
    throw new InvalidRequest("seed", seed, rule);
  }
  const first = resolveSeed(seed);
  return Array.from({ length: count }, (_, i) => seedAfter(first, i));
}
