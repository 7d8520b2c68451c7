/**
 * @file A model's defaults: what a request takes where it leaves an argument out. They come from the model's
 * `koala.json`, else from the model card of a known model, else from Diffusers. The library, the commands, the server
 * and its page all take them from `requestDefaults`.
 */

import * as z from "zod/mini";
import { schedulerFromConfig } from "../diffusion/schedulers/registry.js";
import type { Scheduler } from "../diffusion/schedulers/scheduler.js";
import { InvalidRequest, ModelError } from "../errors.js";
import { kindOf, readJson } from "../files/file-system.js";
import path from "../files/path.js";
import type { Rgb } from "../image/pixels.js";
import { parseConfig } from "../models/config.js";
import type { Family } from "../weights/pipeline-class.js";
import { diffusersDefaults } from "./diffusers-defaults.js";
import type { RequestKind } from "./request-kind.js";

/** What a `koala.json` or a model card recommends. */
export type ModelDefaults = {
  /** Denoising steps. */
  steps?: number | undefined;
  /** The guidance scale. */
  guidance?: number | undefined;
  /** Pixels. */
  width?: number | undefined;
  height?: number | undefined;
  /** The negative prompt. */
  negative?: string | undefined;
  /** Overrides fields of scheduler_config.json, in its spelling. */
  scheduler?: Readonly<Record<string, unknown>> | undefined;
  /** RGB in -1..1 from its scaled latents: a row per channel, and a constant. */
  preview?: { factors: readonly Rgb[]; bias?: Rgb } | undefined;
};

/** With what or who recommends it, as a message names it. */
export type SourcedDefaults = ModelDefaults & { source: string };

/** What a request takes where it leaves an argument out. */
export type RequestDefaults = {
  /** Pixels. A request that begins with an image has the image's size instead. */
  width: number;
  height: number;
  numInferenceSteps: number;
  guidanceScale: number;
  /** Of no effect without an image. */
  strength: number;
  /** Only the commands and the server take it: a library's request has the prompts that it names. */
  negativePrompt: string | undefined;
};

/** A model's defaults for one kind of request. */
export function requestDefaults(
  model: { family: Family; trainedSize: { width: number; height: number }; defaults: ModelDefaults },
  kind: RequestKind,
): RequestDefaults {
  const { defaults, trainedSize } = model;
  const diffusers = diffusersDefaults[model.family][kind];
  return {
    width: defaults.width ?? trainedSize.width,
    height: defaults.height ?? trainedSize.height,
    numInferenceSteps: defaults.steps ?? diffusers.steps,
    guidanceScale: defaults.guidance ?? diffusers.guidanceScale,
    strength: diffusers.strength,
    negativePrompt: defaults.negative,
  };
}

/** The folder's scheduler with the overrides that are recommended for the model. */
export function defaultScheduler(own: Scheduler, { scheduler, source }: SourcedDefaults): Scheduler {
  if (scheduler === undefined) return own;
  try {
    return schedulerFromConfig(own.config, scheduler, own.className);
  } catch (error) {
    if (error instanceof InvalidRequest) throw new ModelError(source, `scheduler: ${error.message}`);
    throw error;
  }
}

const rgb = z.tuple([z.number(), z.number(), z.number()], "must be three numbers");
const schema = z.object({
  steps: z.optional(z.int("must be a whole number").check(z.positive("must be positive"))),
  guidance: z.optional(z.number("must be a number").check(z.nonnegative("must not be negative"))),
  width: z.optional(z.int("must be a whole number").check(z.positive("must be positive"))),
  height: z.optional(z.int("must be a whole number").check(z.positive("must be positive"))),
  negative: z.optional(z.string("must be text")),
  scheduler: z.optional(z.record(z.string(), z.unknown(), "must be an object of scheduler settings")),
  preview: z.optional(
    z.object({
      factors: z.array(rgb, "must be a list of three numbers for each latent channel"),
      bias: z.exactOptional(rgb),
    }),
  ),
});

const trailing = { timestep_spacing: "trailing" };
const lightning: ModelDefaults = { steps: 10, guidance: 3.5, scheduler: trailing };
const koala: ModelDefaults = { steps: 25, guidance: 7.5 };

/** By Hub id, from the model cards. */
const knownModels: Readonly<Record<string, ModelDefaults>> = {
  "etri-vilab/koala-lightning-1b": lightning,
  "etri-vilab/koala-lightning-700m": lightning,
  "etri-vilab/koala-1b": koala,
  "etri-vilab/koala-700m": koala,
  "etri-vilab/koala-1b-llava-cap": koala,
  "etri-vilab/koala-700m-llava-cap": koala,
  "stabilityai/sdxl-turbo": { steps: 1, guidance: 0, width: 512, height: 512 },
};

/**
 * What is recommended for the model in `folder`, which may be a single file with its configs in another folder; ModelError
 * for a `koala.json` that is wrong.
 */
export async function readModelDefaults(folder: string, config = folder): Promise<SourcedDefaults> {
  const file = path.join(config, "koala.json");
  if ((await kindOf(file)) === "file")
    return { ...parseConfig(schema, await readJson(file), "koala.json"), source: "koala.json" };
  const id = hubId(folder);
  const known = id === undefined ? undefined : knownModels[id];
  return known ? { ...known, source: `the model card of ${id}` } : { source: "Diffusers' defaults" };
}

/**
 * The Hub id that a path names: `.../models--ORG--NAME/snapshots/...` (the Hugging Face cache), `.../ORG/NAME`, or
 * a folder that has the NAME of a known model.
 */
export function hubId(folder: string): string | undefined {
  const parts = path.resolve(folder).split(path.sep);
  const cached = parts.findLast((part) => part.startsWith("models--"));
  if (cached) return cached.slice("models--".length).replace("--", "/");
  const owner = parts.at(-2);
  const name = parts.at(-1)!.replace(/\.safetensors$/, "");
  if (`${owner}/${name}` in knownModels) return `${owner}/${name}`;
  return Object.keys(knownModels).find((id) => id.endsWith(`/${name}`));
}
