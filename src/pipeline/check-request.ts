/** @file Checks a request and fills in the model's defaults. Reads no file: what is wrong is said before any work. */

import { CudaGenerator } from "../diffusion/philox.js";
import { Generator } from "../diffusion/random.js";
import { resolveSeed, type Seed, seedAfter } from "../diffusion/seed.js";
import { InvalidRequest } from "../errors.js";
import { emphasisRules, longPromptRules, promptSyntaxes } from "../text/prompt-rules.js";
import { checkOptionNames } from "../validation.js";
import { checkOneText } from "./attention/one-text.js";
import { expandRequest } from "./expand-request.js";
import type { RequestDefaults } from "./model-defaults.js";
import { type ReadPrompts, readPrompts } from "./read-prompts.js";
import { type AcceptedRequest, type GenerateRequest, requestNames } from "./request.js";
import { safetyRuleOf, safetyRules } from "./safety-rules.js";
import { Warnings } from "./warnings.js";

/**
 * `factor`: pixels per latent pixel, of which width and height are multiples. `embedsGuidance`: whether the U-Net reads the
 * guidance scale, in place of a second pass. `hasSafetyChecker`: whether images can be checked.
 */
export type RequestModel = {
  defaults: Omit<RequestDefaults, "negativePrompt">;
  factor: number;
  embedsGuidance?: boolean;
  hasSafetyChecker?: boolean;
};

/** Checks a request against a model's defaults; throws an InvalidRequest that names the field. */
export function checkRequest(
  given: GenerateRequest,
  { defaults, factor, embedsGuidance = false, hasSafetyChecker = false }: RequestModel,
): AcceptedRequest {
  checkOptionNames("generate", given, requestNames);
  const request = expanded(given);
  oneOf("promptSyntax", request.promptSyntax, promptSyntaxes);
  oneOf("longPrompts", request.longPrompts, longPromptRules);
  oneOf("emphasis", request.emphasis, emphasisRules);
  const warnings = new Warnings(request.onWarning);
  const texts = checkPrompts(request, warnings);
  const perPrompt = imagesPerPrompt(request.numImagesPerPrompt ?? 1);
  const batch = texts.prompts.length * perPrompt;
  const guidanceScale = finite("guidanceScale", request.guidanceScale ?? defaults.guidanceScale);
  oneOf("rng", request.rng, ["cpu", "cuda"]);
  oneOf("outputType", request.outputType, ["image", "latent"]);
  oneOf("safety", request.safety, safetyRules);
  if (typeof request.attentionMaps !== "boolean") oneOf("attentionMaps", request.attentionMaps, ["steps"]);
  checkTiling(request.vaeTiling, factor);
  checkSchedule(request);
  checkInputs(request);
  checkSizeConditions(request);
  const accepted: AcceptedRequest = {
    ...request,
    ...texts,
    height: checkedSide("height", request, defaults, factor),
    width: checkedSide("width", request, defaults, factor),
    numInferenceSteps: whole(
      "numInferenceSteps",
      request.numInferenceSteps ?? defaults.numInferenceSteps,
      1,
      1000,
    ),
    guidanceScale,
    guidanceRescale: finite("guidanceRescale", request.guidanceRescale ?? 0),
    perPrompt,
    batch,
    guided: isGuided(guidanceScale, texts, embedsGuidance),
    embedsGuidance,
    strength: checkedStrength(request.strength ?? defaults.strength),
    safety: safetyRuleOf(request.safety, hasSafetyChecker),
    attentionMaps: request.attentionMaps ?? false,
    eta: finite("eta", request.eta ?? 0),
    ...noiseSources(request, batch),
    warnings,
  };
  if (accepted.attentionMaps !== false) checkOneText(accepted);
  return accepted;
}

/** A composition is a sum of differences to the negative prompt's prediction, so it needs that at any scale. */
function isGuided(scale: number, { compositions, prompts }: Texts, embedsGuidance: boolean): boolean {
  const composed = compositions.some((parts) => parts.some(({ weight }) => weight !== 1) || parts.length > 1);
  if (!embedsGuidance) return scale > 1 || composed;
  if (!composed) return false;
  const rule =
    "must not be composed by AND: this model reads the guidance scale itself, without a second pass.";
  throw new InvalidRequest("prompt", prompts, rule);
}

/** With one prompt for each image, where they are dynamic. */
function expanded(request: GenerateRequest): GenerateRequest {
  const perPrompt = imagesPerPrompt(request.numImagesPerPrompt ?? 1);
  const prompts = textList("prompt", request.prompt).length;
  if (request.dynamicPrompts === true)
    checkPrompts({ ...request, promptSyntax: "none" }, new Warnings(() => {}));
  return expandRequest(request, perPrompt, () => noiseSources(request, prompts * perPrompt).seeds);
}

/** Checks the number of images per prompt, for callers that allocate by it before they have a whole request. */
export const imagesPerPrompt = (value: number): number => whole("numImagesPerPrompt", value, 1, 1024);

type Texts = ReadPrompts &
  Pick<
    AcceptedRequest,
    "prompts2" | "negativePrompts" | "negativePrompts2" | "promptTemplates" | "negativePromptTemplates"
  >;

function checkPrompts(request: GenerateRequest, warnings: Warnings): Texts {
  const given = textList("prompt", request.prompt);
  const perPrompt = (
    field: "prompt2" | "negativePrompt" | "negativePrompt2" | "promptTemplate" | "negativePromptTemplate",
  ) => {
    const value = request[field];
    if (value === undefined) return undefined;
    const list = textList(field, value);
    if (list.length === given.length) return list;
    if (list.length === 1) return given.map(() => list[0]!);
    const rule = `must be one text or ${given.length}, one per prompt, got ${list.length}.`;
    throw new InvalidRequest(field, value, rule);
  };
  const negativePrompts = perPrompt("negativePrompt");
  const read = readPrompts(request, given, negativePrompts, warnings);
  return {
    ...read,
    promptTemplates: perPrompt("promptTemplate"),
    negativePromptTemplates: perPrompt("negativePromptTemplate"),
    prompts2: perPrompt("prompt2") ?? read.prompts,
    negativePrompts,
    negativePrompts2: perPrompt("negativePrompt2") ?? negativePrompts,
  };
}

/** What any autoencoder allows; `tileSize` has the rest. */
function checkTiling(value: boolean | number | undefined, factor: number): void {
  if (value === undefined || typeof value === "boolean") return;
  const multiple = 4 * factor;
  if (Number.isInteger(value) && value >= multiple && value <= 8192 && value % multiple === 0) return;
  const rule = `must be true, false or a tile's pixels, a multiple of ${multiple} up to 8192, got ${JSON.stringify(value)}.`;
  throw new InvalidRequest("vaeTiling", value, `${rule} Usual: 512.`);
}

/** Which share of the schedule is run. */
function checkSchedule({ timesteps, sigmas, denoisingStart, denoisingEnd }: GenerateRequest): void {
  if (timesteps && sigmas)
    throw new InvalidRequest("sigmas", sigmas, "cannot be given together with timesteps. Leave one out.");
  if (denoisingEnd !== undefined && !(denoisingEnd > 0 && denoisingEnd <= 1)) {
    const rule = `must be above 0 and at most 1, got ${denoisingEnd}.`;
    throw new InvalidRequest("denoisingEnd", denoisingEnd, rule);
  }
  if (denoisingStart !== undefined && !(denoisingStart > 0 && denoisingStart < (denoisingEnd ?? 1))) {
    const most = denoisingEnd === undefined ? "1" : "denoisingEnd";
    const rule = `must be above 0 and below ${most}, got ${denoisingStart}.`;
    throw new InvalidRequest("denoisingStart", denoisingStart, rule);
  }
}

/** What a generation begins with: an image, latents or noise. */
function checkInputs({ image, mask, strength, denoisingStart, latents }: GenerateRequest): void {
  const alone = Object.entries({ mask, strength, denoisingStart }).find(([, value]) => value !== undefined);
  if (image === undefined && alone)
    throw new InvalidRequest(alone[0], alone[1], "needs an image to begin with. Give image as well.");
  if (image !== undefined && latents)
    throw new InvalidRequest("latents", latents, "cannot be given together with image. Leave one out.");
  if (latents !== undefined && !(latents instanceof Float32Array)) {
    const rule = `must be a Float32Array, got ${kindOf(latents)}. Convert it by Float32Array.from.`;
    throw new InvalidRequest("latents", latents, rule);
  }
  if (latents && !latents.every(Number.isFinite))
    throw new InvalidRequest("latents", latents, "must be finite, got NaN or infinity.");
  if (image !== undefined && !(image instanceof Float32Array)) checkImage("image", image);
  if (mask !== undefined) checkImage("mask", mask);
}

/** A path, bytes, or pixels of the right number. */
function checkImage(field: string, value: unknown): void {
  if (typeof value === "string" || value instanceof Uint8Array) return;
  const { width, height, data } = (value ?? {}) as Record<string, unknown>;
  if (!(data instanceof Uint8Array) || typeof width !== "number" || typeof height !== "number") {
    const rule = "must be a path, the bytes of an image file, or { width, height, data } with bytes of RGB";
    const remedy = value instanceof URL ? " Give fileURLToPath of it, or the bytes it leads to." : "";
    throw new InvalidRequest(field, value, `${rule}, got ${kindOf(value)}.${remedy}`);
  }
  if (width > 0 && height > 0 && data.length === 3 * width * height) return;
  const rule = `data must hold 3 bytes for each of ${width} x ${height} pixels, got ${data.length}.`;
  throw new InvalidRequest(field, value, rule);
}

function checkSizeConditions(request: GenerateRequest): void {
  const fields = ["originalSize", "cropsCoordsTopLeft", "targetSize"] as const;
  const negative = ["negativeOriginalSize", "negativeCropsCoordsTopLeft", "negativeTargetSize"] as const;
  for (const field of [...fields, ...negative]) {
    const value: unknown = request[field];
    if (value === undefined) continue;
    if (Array.isArray(value) && value.length === 2 && value.every(Number.isFinite)) continue;
    const got = JSON.stringify(value) ?? typeof value;
    throw new InvalidRequest(field, value, `must be two numbers, vertical and horizontal, got ${got}.`);
  }
}

/** The side that is given, else the image's own, which is not known yet, else the model's. */
function checkedSide(
  field: "width" | "height",
  request: GenerateRequest,
  defaults: { width: number; height: number },
  factor: number,
): number | undefined {
  const own = request.image === undefined || request.image instanceof Float32Array;
  const value = request[field] ?? (own ? defaults[field] : undefined);
  return value === undefined ? undefined : side(field, value, factor);
}

/** An image's height or width in pixels. */
export function side(field: string, value: number, factor: number): number {
  const most = 8192;
  whole(field, value, factor, most);
  if (value % factor === 0) return value;
  const below = Math.floor(value / factor) * factor;
  const nearest = `Nearest: ${below} or ${below + factor}.`;
  throw new InvalidRequest(field, value, `must be a multiple of ${factor}, got ${value}. ${nearest}`);
}

function checkedStrength(value: number): number {
  if (value >= 0 && value <= 1) return value;
  throw new InvalidRequest("strength", value, `must be from 0 to 1, got ${value}.`);
}

/** The generators as they are given, or made from the seeds, one per image. */
function noiseSources(
  { generator, seed, rng = "cpu" }: GenerateRequest,
  batch: number,
): Pick<AcceptedRequest, "seeds" | "generators"> {
  if (generator === undefined) {
    const seeds = seedsOf(seed, batch);
    const make = (one: bigint) => (rng === "cpu" ? new Generator(one) : new CudaGenerator(one));
    return { seeds, generators: seeds.map(make) };
  }
  if (Array.isArray(generator) && generator.length !== batch) {
    const rule = `must be one generator or ${batch}, one per image, got ${generator.length}.`;
    throw new InvalidRequest("generator", generator, rule);
  }
  return { seeds: undefined, generators: generator };
}

function seedsOf(seed: Seed | readonly Seed[] | undefined, count: number): bigint[] {
  if (isList(seed)) {
    if (seed.length === count) return seed.map(resolveSeed);
    const rule = `must be one seed or ${count}, one per image, got ${seed.length}.`;
    throw new InvalidRequest("seed", seed, rule);
  }
  const first = resolveSeed(seed);
  return Array.from({ length: count }, (_, i) => seedAfter(first, i));
}

// Array.isArray does not narrow a readonly array.
const isList = (seed: unknown): seed is readonly Seed[] => Array.isArray(seed);

function textList(field: string, value: unknown): readonly string[] {
  const list: readonly unknown[] = Array.isArray(value) ? value : [value];
  if (list.length === 0)
    throw new InvalidRequest(field, value, "must hold at least one text, got an empty list.");
  for (const text of list) {
    if (typeof text !== "string")
      throw new InvalidRequest(field, value, `must be text, got ${JSON.stringify(text) ?? typeof text}.`);
  }
  return list as readonly string[];
}

/** "null", "number", "Float64Array", "URL" */
function kindOf(value: unknown): string {
  if (typeof value !== "object" || value === null) return value === null ? "null" : typeof value;
  return (value.constructor as { name?: string } | undefined)?.name ?? "object";
}

function whole(field: string, value: number, least: number, most: number): number {
  if (Number.isInteger(value) && value >= least && value <= most) return value;
  throw new InvalidRequest(field, value, `must be a whole number from ${least} to ${most}, got ${value}.`);
}

function finite(field: string, value: number): number {
  if (Number.isFinite(value)) return value;
  throw new InvalidRequest(field, value, `must be a finite number, got ${value}.`);
}

function oneOf(field: string, value: string | undefined, choices: readonly string[]): void {
  if (value === undefined || choices.includes(value)) return;
  const rule = `must be ${choices.map((choice) => `"${choice}"`).join(" or ")}, got ${JSON.stringify(value)}.`;
  throw new InvalidRequest(field, value, rule);
}
