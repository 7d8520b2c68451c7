/**
 * @file Resolves a client's request into a JobRequest: checked against its model and this server's limits, with every
 * default and the seed filled in. Requests are refused here, before they wait in a queue.
 */

import { schedulerFromConfig, schedulerNamed } from "../diffusion/schedulers/registry.js";
import type { SchedulerChoice } from "../diffusion/schedulers/sampler-names.js";
import type { Scheduler } from "../diffusion/schedulers/scheduler.js";
import { resolveSeed } from "../diffusion/seed.js";
import { InvalidRequest } from "../errors.js";
import { unsignable } from "../image/unsignable.js";
import { checkRequest } from "../pipeline/check-request.js";
import { metadataProblem } from "../pipeline/metadata/capacity.js";
import { requestKind } from "../pipeline/request-kind.js";
import type { Wildcards } from "../text/dynamic-prompts.js";
import {
  type Aliases,
  kindDefaults,
  loraRule,
  type ModelRegistry,
  modelNamed,
  type ServedModel,
} from "./model-registry.js";
import type { Limits } from "./model-schemas.js";
import type { JobRequest } from "./processor.js";
import { imageTexts, promptLoras } from "./request-texts.js";
import type { GenerationRequest, GenerationSettings } from "./schemas.js";
import { type Source, sourceFromText } from "./sent-images.js";
import { requestedSafety } from "./served-safety.js";

/** Another API's request: its images may be bytes already, and its scheduler one that our names cannot say. */
export type PartialRequest = Omit<GenerationRequest, "image" | "mask" | "scheduler"> & {
  image?: Source | undefined;
  mask?: Source | undefined;
  scheduler?: string | (SchedulerChoice & { name: string }) | undefined;
  /** Rounds width and height down to the model's multiple, with a warning, instead of refusing others. */
  roundsSize?: boolean;
  /** The lines that dynamic prompts take. */
  wildcards?: Wildcards | undefined;
  /** What of the client's request another API had to change. */
  warnings?: readonly string[] | undefined;
};

/** Reads the images of requests, in this thread or in others. */
type ImageReader = { sourceFromText: (field: string, text: string) => Promise<Source> };

/** Checks and completes a request of our own API; a server gives the threads that read its images. */
export async function resolveRequest(
  request: GenerationRequest,
  models: ModelRegistry,
  limits: Limits,
  {
    aliases,
    wildcards,
    read = { sourceFromText },
  }: { aliases?: Aliases; wildcards?: Wildcards | undefined; read?: ImageReader } = {},
): Promise<JobRequest> {
  const { image, mask, ...rest } = request;
  const source = async (field: string, text: string | undefined) =>
    text === undefined ? undefined : read.sourceFromText(field, text);
  return resolvePartialRequest(
    { ...rest, wildcards, image: await source("image", image), mask: await source("mask", mask) },
    models,
    limits,
    aliases,
  );
}

/** The same for a request of another API. InvalidRequest names the field as the jobs API calls it. */
export function resolvePartialRequest(
  partial: PartialRequest,
  models: ModelRegistry,
  limits: Limits,
  aliases?: Aliases,
): JobRequest {
  const model = modelNamed(models, partial.model, aliases);
  const { settings, scheduler, warnings } = complete(partial, model);
  checkLimits(settings, limits);
  checkSigned(settings, model.info);
  checkExplained(settings);
  const { image, mask, wildcards } = partial;
  const texts = imageTexts(settings, { seed: settings.seed, count: settings.count, wildcards });
  const request: JobRequest = {
    settings,
    ...(texts && { texts }),
    scheduler,
    ...(image && { image: image.bytes }),
    ...(mask && { mask: mask.bytes }),
    previews: partial.previews ?? false,
    warnings: [...(partial.warnings ?? []), ...warnings],
  };
  checkTogether(request, model);
  return request;
}

function checkSigned({ outputFormat }: GenerationSettings, { signed }: ServedModel["info"]): void {
  if (signed && outputFormat === "webp") throw new InvalidRequest("outputFormat", "webp", unsignable);
}

/** A job's predictions are kept as long as its images and are as large, so that they are of one image. */
function checkExplained({ explainSteps, count }: GenerationSettings): void {
  if (!explainSteps || count === 1) return;
  const rule = `needs a count of 1, got ${count}. Send a job for each image: seed + 1, seed + 2 and so on.`;
  throw new InvalidRequest("explainSteps", true, rule);
}

function complete(partial: PartialRequest, model: ServedModel) {
  const { info } = model;
  const { defaults } = info;
  const kind = kindDefaults(info, requestKind(partial));
  const { mask, negativePrompt = defaults.negativePrompt, clipSkip, vaeTiling, quality } = partial;
  const chosen = partial.scheduler ?? defaults.scheduler;
  const scheduler = typeof chosen === "string" ? { name: chosen, ...schedulerNamed(chosen) } : chosen;
  const strength = partial.strength ?? kind.strength;
  const { width, height, warnings } = sizeOf(partial, info);
  const named = promptLoras(partial, model);
  const lora = scaledLoras(named.lora, model);
  const safety = requestedSafety(partial.safety, info);
  const settings: GenerationSettings = {
    prompt: named.prompt,
    ...(negativePrompt !== undefined && { negativePrompt }),
    ...readingOf(partial),
    ...{ model: info.id, width, height },
    steps: partial.steps ?? defaults.steps,
    guidanceScale: partial.guidanceScale ?? kind.guidanceScale,
    seed: String(resolveSeed(partial.seed === undefined ? undefined : BigInt(partial.seed))),
    scheduler: scheduler.name,
    count: partial.count ?? 1,
    ...(strength !== undefined && { strength }),
    masked: mask !== undefined,
    ...(lora.length > 0 && { lora }),
    ...(clipSkip !== undefined && { clipSkip }),
    ...(vaeTiling !== undefined && { vaeTiling }),
    ...(safety !== undefined && (safety !== "off" || info.safety?.choices.length !== 1) && { safety }),
    rng: partial.rng ?? "cpu",
    ...(partial.attentionMaps && { attentionMaps: true }),
    ...(partial.explainSteps && { explainSteps: true }),
    outputFormat: partial.outputFormat ?? "png",
    ...(quality !== undefined && { quality }),
  };
  if (partial.model !== undefined && partial.model !== info.id)
    warnings.unshift(`model: "${partial.model}" is another name of "${info.id}" here`);
  const choice: SchedulerChoice = { className: scheduler.className, overrides: scheduler.overrides };
  return { settings, scheduler: choice, warnings };
}

/** How the prompts are read, where it is not as plain text in chunks. */
const readingOf = ({
  promptSyntax,
  longPrompts,
  padConditions,
  emphasis,
  dynamicPrompts,
}: PartialRequest) => ({
  ...(promptSyntax === "a1111" && { promptSyntax }),
  ...(longPrompts === "cut" && { longPrompts }),
  ...(padConditions && { padConditions }),
  ...(emphasis !== undefined && { emphasis }),
  ...(dynamicPrompts && { dynamicPrompts }),
});

/** The request's size, or the image's, or the model's own; rounding down to the model's multiple is warned of. */
function sizeOf(
  { image, roundsSize, ...given }: PartialRequest,
  { sizeMultiple, defaults }: ServedModel["info"],
) {
  const warnings: string[] = [];
  const side = (name: "width" | "height") => {
    const wanted = given[name] ?? image?.[name] ?? defaults[name];
    if (wanted % sizeMultiple === 0 || (given[name] !== undefined && !roundsSize)) return wanted;
    const size = Math.max(sizeMultiple, wanted - (wanted % sizeMultiple));
    warnings.push(`${name}: ${wanted} is rounded to ${size}, a multiple of ${sizeMultiple}`);
    return size;
  };
  return { width: side("width"), height: side("height"), warnings };
}

/** With the server's scale where the request has none; InvalidRequest for a LoRA that the model lacks. */
function scaledLoras(given: NonNullable<GenerationRequest["lora"]>, model: ServedModel) {
  return given.map(({ name, scale }, i) => {
    const known = model.info.loras.find((lora) => lora.name === name);
    if (!known) throw new InvalidRequest("lora", name, loraRule(model, name));
    if (given.findIndex((lora) => lora.name === name) !== i)
      throw new InvalidRequest("lora", name, `must be given once, got "${name}" twice. Add up the scales.`);
    return { name, scale: scale ?? known.scale };
  });
}

function checkLimits({ width, height, steps, count }: GenerationSettings, limits: Limits): void {
  if (width * height > limits.pixels) {
    const rule = `must have at most ${limits.pixels} pixels on this server, got ${width} x ${height}.`;
    throw new InvalidRequest("width", width, `${rule} Request a smaller image.`);
  }
  const most = (field: "steps" | "count", value: number) => {
    if (value <= limits[field]) return;
    throw new InvalidRequest(field, value, `must be at most ${limits[field]} on this server, got ${value}.`);
  };
  most("steps", steps);
  most("count", count);
}

/** What the pipeline would refuse, refused now and under the field's name here. */
function checkTogether(request: JobRequest, model: ServedModel): void {
  const { settings, image, mask } = request;
  const { width, height, steps: numInferenceSteps, guidanceScale } = settings;
  const complete = { width, height, numInferenceSteps, guidanceScale, strength: 1 };
  const { strength, vaeTiling } = settings;
  const sources = {
    ...(image && { image }),
    ...(mask && { mask }),
    ...(strength !== undefined && { strength }),
    ...(vaeTiling !== undefined && { vaeTiling }),
  };
  try {
    checkRequest(
      { ...textsOf(request), width, height, seed: BigInt(settings.seed), ...sources, onWarning: () => {} },
      { defaults: complete, factor: model.info.sizeMultiple },
    );
    requestedScheduler(request, model).setTimesteps(settings.steps);
  } catch (error) {
    throw error instanceof InvalidRequest ? renamed(error) : error;
  }
  const problem = metadataProblem(settings.outputFormat, settings);
  if (problem !== undefined) {
    const rule = `the metadata ${problem} Shorten the prompts, or request png.`;
    throw new InvalidRequest("outputFormat", settings.outputFormat, rule);
  }
  if (image && Math.floor(numInferenceSteps * strength!) < 1) {
    const rule = `must leave a step to run, got ${strength} of ${numInferenceSteps} steps. Raise it, or take more steps.`;
    throw new InvalidRequest("strength", strength, rule);
  }
}

/** The texts of all images, each once, and how they are read. */
function textsOf({ settings, texts }: JobRequest) {
  const { prompt, negativePrompt, promptSyntax = "none", emphasis, attentionMaps } = settings;
  const all = texts ?? [{ prompt, ...(negativePrompt !== undefined && { negativePrompt }) }];
  return {
    prompt: all.map((one) => one.prompt),
    negativePrompt: all.map((one) => one.negativePrompt ?? ""),
    promptSyntax,
    ...(emphasis !== undefined && { emphasis }),
    ...(attentionMaps && { attentionMaps }),
  };
}

/** The model's scheduler with what a job overrides. */
export function requestedScheduler({ scheduler }: JobRequest, model: ServedModel): Scheduler {
  return schedulerFromConfig(model.scheduler.config, scheduler.overrides, scheduler.className);
}

const names: Readonly<Record<string, string>> = {
  numInferenceSteps: "steps",
  numImagesPerPrompt: "count",
};

function renamed(error: InvalidRequest): InvalidRequest {
  const { field, value, message } = error;
  if (!Object.hasOwn(names, field)) return error;
  return new InvalidRequest(names[field]!, value, message.slice(field.length + 2));
}
