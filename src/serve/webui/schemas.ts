/**
 * @file AUTOMATIC1111's requests. Its server ignores fields it does not know, and clients count on that; what it knows
 * and this server cannot do is judged in inert.ts.
 */

import { z } from "@hono/zod-openapi";

const text = z.string().max(20_000);
const whole = z
  .int()
  .min(-(2 ** 53 - 1))
  .max(2 ** 53 - 1);
const side = z.int().min(8).max(8192);

const shared = {
  prompt: text.nullish(),
  negative_prompt: text.nullish(),
  seed: whole.nullish().openapi({ description: "-1, or left out, draws one." }),
  sampler_name: z.string().max(100).nullish().openapi({ example: "Euler a" }),
  sampler_index: z.string().max(100).nullish(),
  scheduler: z.string().max(100).nullish().openapi({ example: "Karras" }),
  steps: z.int().min(1).max(1000).nullish(),
  cfg_scale: z.number().min(0).max(100).nullish(),
  width: side.nullish(),
  height: side.nullish(),
  batch_size: z.int().min(1).max(100).nullish(),
  n_iter: z.int().min(1).max(100).nullish(),
  send_images: z.boolean().nullish(),
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
    denoising_strength: z.number().min(0).max(1).nullish().openapi({ description: "0.75 if left out." }),
    inpainting_mask_invert: z.union([z.int(), z.boolean()]).nullish(),
    resize_mode: z.int().nullish(),
    include_init_images: z.boolean().nullish(),
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

export const webuiError = z
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
