/** @file How a model wants to be generated with, where its makers say so: `koala.json`, or the cards of known models. */

import path from "node:path";
import { z } from "zod";
import { kindOf, readJson } from "../files/file-system.js";
import type { Rgb } from "../image/pixels.js";
import { parseConfig } from "../models/config.js";

/** What a card recommends; `scheduler` overrides fields of scheduler_config.json, in its spelling. */
export type ModelDefaults = {
  steps?: number | undefined;
  guidance?: number | undefined;
  width?: number | undefined;
  height?: number | undefined;
  negative?: string | undefined;
  scheduler?: Readonly<Record<string, unknown>> | undefined;
  /** RGB in -1..1 from its scaled latents: a row per channel, and a constant. */
  preview?: { factors: readonly Rgb[]; bias?: Rgb } | undefined;
};

const rgb = z.tuple([z.number(), z.number(), z.number()], "must be three numbers");
const schema = z.object({
  steps: z.int("must be a whole number").positive("must be positive").optional(),
  guidance: z.number("must be a number").nonnegative("must not be negative").optional(),
  width: z.int("must be a whole number").positive("must be positive").optional(),
  height: z.int("must be a whole number").positive("must be positive").optional(),
  negative: z.string("must be text").optional(),
  scheduler: z.record(z.string(), z.unknown(), "must be an object of scheduler settings").optional(),
  preview: z
    .object({
      factors: z.array(rgb, "must be a list of three numbers for each latent channel"),
      bias: rgb.exactOptional(),
    })
    .optional(),
});

const trailing = { timestep_spacing: "trailing" };
const lightning: ModelDefaults = { steps: 10, guidance: 3.5, scheduler: trailing };
const koala: ModelDefaults = { steps: 25, guidance: 7.5 };

/** By Hub id, from the models' own cards. */
const knownModels: Readonly<Record<string, ModelDefaults>> = {
  "etri-vilab/koala-lightning-1b": lightning,
  "etri-vilab/koala-lightning-700m": lightning,
  "etri-vilab/koala-1b": koala,
  "etri-vilab/koala-700m": koala,
  "etri-vilab/koala-1b-llava-cap": koala,
  "etri-vilab/koala-700m-llava-cap": koala,
  "stabilityai/sdxl-turbo": { steps: 1, guidance: 0, width: 512, height: 512 },
};

/** What is recommended for the model in `folder`, and who says so. */
export async function modelDefaultsOf(folder: string): Promise<{ defaults: ModelDefaults; source: string }> {
  const file = path.join(folder, "koala.json");
  if ((await kindOf(file)) === "file") {
    return { defaults: parseConfig(schema, await readJson(file), "koala.json"), source: "koala.json" };
  }
  const id = hubId(folder);
  const card = id === undefined ? undefined : knownModels[id];
  return card
    ? { defaults: card, source: `the model card of ${id}` }
    : { defaults: {}, source: "Diffusers' defaults" };
}

/**
 * The Hub id that a path speaks of: `.../models--ORG--NAME/snapshots/...` (the Hugging Face cache), `.../ORG/NAME`, or
 * a folder that bears the NAME of a known model.
 */
export function hubId(folder: string): string | undefined {
  const parts = path.resolve(folder).split(path.sep);
  const cached = parts.findLast((part) => part.startsWith("models--"));
  if (cached) return cached.slice("models--".length).replace("--", "/");
  const [owner, name] = parts.slice(-2);
  if (`${owner}/${name}` in knownModels) return `${owner}/${name}`;
  return Object.keys(knownModels).find((id) => id.endsWith(`/${name}`));
}
