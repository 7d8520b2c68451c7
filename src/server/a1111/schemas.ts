/**
 * @file The schemas of AUTOMATIC1111's API. Its server ignores unknown fields, and clients count on that; fields that it
 * has and this server does not support are checked in unsupported-fields.ts.
 */

import { z } from "@hono/zod-openapi";
import { seedField } from "../../jobs/schemas.js";

/** Numbers may be written as text, which Pydantic takes too: "4" and "4.0" are 4. */
export const fromText = (value: unknown): unknown =>
  typeof value === "string" && /^\s*[+-]?(\d{1,20}\.?\d*|\.\d+)\s*$/.test(value) ? Number(value) : value;

/** A seed stays text, as it may be beyond 2^53. */
const seedText = (value: unknown): unknown =>
  typeof value === "string" ? value.trim().replace(/\.0*$/, "") : value;

const flags = new Map<unknown, boolean>([
  ...[1, "1", "true", "t", "yes", "y", "on"].map((value) => [value, true] as const),
  ...[0, "0", "false", "f", "no", "n", "off"].map((value) => [value, false] as const),
]);

/** What Pydantic takes for true and false. */
export const fromFlag = (value: unknown): unknown =>
  flags.get(typeof value === "string" ? value.toLowerCase() : value) ?? value;

const text = z.string().max(20_000);
const whole = (least: number, most: number) => z.preprocess(fromText, z.int().min(least).max(most).nullish());
const real = (most: number) => z.preprocess(fromText, z.number().min(0).max(most).nullish());
const flag = z.preprocess(fromFlag, z.boolean().nullish());

const shared = {
  prompt: text.nullish(),
  negative_prompt: text.nullish(),
  seed: z.preprocess(seedText, seedField.nullish()).openapi({ description: "-1, or left out, draws one." }),
  sampler_name: z.string().max(100).nullish().openapi({ example: "Euler a" }),
  sampler_index: z.string().max(100).nullish(),
  scheduler: z.string().max(100).nullish().openapi({ example: "Karras" }),
  steps: whole(1, 1000),
  cfg_scale: real(100),
  width: whole(8, 8192).openapi({ description: "Rounded down to the model's multiple, with a warning." }),
  height: whole(8, 8192),
  batch_size: whole(1, 100),
  n_iter: whole(1, 100),
  send_images: flag,
  dynamic_prompts: flag.openapi({
    description:
      "Not A1111's: expands {a|b} and __wildcard__ in the prompts, as its extension Dynamic Prompts does.",
  }),
  override_settings: z.record(z.string(), z.unknown()).nullish(),
};

export const txt2imgBody = z.looseObject(shared).openapi("WebuiTxt2img");

export const img2imgBody = z
  .looseObject({
    ...shared,
    init_images: z.array(z.string()).min(1).max(1).openapi({ description: "Base64 or data: URL." }),
    mask: z
      .string()
      .nullish()
      .openapi({ description: "Generated anew where it is opaque, or white if it is opaque everywhere." }),
    denoising_strength: real(1).openapi({ description: "0.75 if left out." }),
    inpainting_mask_invert: flag,
    // Of these three, what differs from the last value is warned of.
    inpaint_full_res: flag.openapi({ description: "true if left out, as in A1111; false here." }),
    inpainting_fill: whole(0, 3).openapi({ description: "0 if left out, as in A1111; 1 here." }),
    mask_blur: real(256).openapi({ description: "4 if left out, as in A1111; 0 here." }),
    mask_blur_x: real(256),
    mask_blur_y: real(256),
    resize_mode: whole(0, 3),
    include_init_images: flag,
  })
  .openapi("WebuiImg2img");

export const imagesAnswer = z
  .object({
    images: z.array(z.string()),
    parameters: z.record(z.string(), z.unknown()),
    info: z.string().openapi({ description: "JSON." }),
  })
  .openapi("WebuiImages");

export const progressAnswer = z
  .object({
    progress: z.number(),
    eta_relative: z.number(),
    state: z.record(z.string(), z.unknown()),
    current_image: z.string().nullable(),
    textinfo: z.string().nullable(),
  })
  .openapi("WebuiProgress");

export const pngInfoBody = z.looseObject({ image: z.string() }).openapi("WebuiPngInfo");
export const pngInfoAnswer = z
  .object({
    info: z.string(),
    items: z.record(z.string(), z.string()),
    parameters: z.record(z.string(), z.string()),
  })
  .openapi("WebuiPngInfoAnswer");

export const optionsBody = z.record(z.string(), z.unknown()).openapi("WebuiOptions");

export const a1111Error = z
  .object({
    error: z.string(),
    detail: z.union([
      z.string(),
      z.array(z.object({ loc: z.array(z.string()), msg: z.string(), type: z.string() })),
    ]),
    errors: z.string(),
  })
  .openapi("WebuiError");

export type Txt2img = z.infer<typeof txt2imgBody>;
export type Img2img = z.infer<typeof img2imgBody>;
