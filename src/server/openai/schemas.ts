/** @file The schemas of OpenAI's image requests: its own fields, and those of the jobs API that it lacks, at the top level. */

import { z } from "@hono/zod-openapi";
import { loraField, promptFields, seedField } from "../../jobs/schemas.js";

const size = z
  .string()
  .regex(/^(auto|\d{1,5}x\d{1,5})$/, 'must be "auto" or WIDTHxHEIGHT')
  .openapi({ example: "1024x1024" });
const seed = seedField.openapi({ example: 7, description: "-1, or left out, draws one." });

/** Fields of both routes whose value is text in JSON and in a form. */
const texts = {
  prompt: z.string().max(20_000).openapi({ example: "a red bicycle beside a yellow wall" }),
  model: z.string().max(500).nullish(),
  size: size.nullish(),
  response_format: z
    .enum(["url", "b64_json"])
    .nullish()
    .openapi({ description: "b64_json if left out, url with a model of DALL·E's names." }),
  output_format: z.enum(["png", "jpeg", "webp"]).nullish(),
  // From here to `user`: accepted, as clients send them; values without effect cause warnings.
  quality: z.enum(["standard", "hd", "low", "medium", "high", "xhigh", "max", "auto"]).nullish(),
  background: z.enum(["transparent", "opaque", "auto"]).nullish(),
  moderation: z.enum(["low", "auto"]).nullish(),
  user: z.string().max(1000).nullish(),
  negative_prompt: z.string().max(20_000).nullish(),
  scheduler: z.string().max(100).nullish(),
  prompt_syntax: promptFields.promptSyntax.nullish(),
  long_prompts: promptFields.longPrompts.nullish(),
};

export const generationBody = z
  .strictObject({
    ...texts,
    style: z.enum(["vivid", "natural"]).nullish(),
    n: z.int().min(1).max(100).nullish(),
    output_compression: z.number().min(0).max(100).nullish(),
    stream: z.boolean().nullish(),
    partial_images: z.int().min(0).max(3).nullish(),
    seed: seed.nullish(),
    steps: z.int().min(1).max(1000).nullish(),
    num_inference_steps: z.int().min(1).max(1000).nullish(),
    guidance_scale: z.number().min(0).max(100).nullish(),
    lora: loraField.nullish(),
    pad_conditions: promptFields.padConditions.nullish(),
    emphasis: promptFields.emphasis.nullish(),
    dynamic_prompts: promptFields.dynamicPrompts.nullish(),
    // LobeChat's names.
    cfg: z.number().min(0).max(100).nullish().openapi({ description: "guidance_scale" }),
    width: z.int().min(8).max(8192).nullish().openapi({ description: "With height, as size." }),
    height: z.int().min(8).max(8192).nullish(),
  })
  .openapi("OpenAIImageGeneration");

const file = z
  .custom<File>((value) => value instanceof File, "must be a file")
  .openapi({ type: "string", format: "binary" });
const whole = (most: number, least = 1) => z.coerce.number().int().min(least).max(most).optional();
const scale = z.coerce.number().min(0).max(100).optional();

/** The same as a multipart form, with the images. */
export const editForm = z
  .strictObject({
    ...texts,
    image: z.union([file, z.array(file)], "must be a file").optional(),
    "image[]": z.array(file).optional().openapi({ description: "The first is used." }),
    mask: file.optional().openapi({
      type: "string",
      format: "binary",
      description:
        "Generated anew where it is transparent, or white if it is opaque everywhere. With dall-e-2, a partly " +
        "transparent image is its own mask if this is left out.",
    }),
    strength: z.coerce.number().min(0).max(1).optional().openapi({
      description: "How much of the image is replaced; 0.75, or 0.9999 with a mask, if left out.",
    }),
    input_fidelity: z.enum(["high", "low"]).optional(),
    n: whole(100),
    output_compression: scale,
    stream: z.enum(["true", "false"]).optional(),
    partial_images: whole(3, 0),
    seed: seed.optional(),
    steps: whole(1000),
    num_inference_steps: whole(1000),
    guidance_scale: scale,
    lora: z.preprocess(fromJson, loraField).optional().openapi({ description: "The list as JSON." }),
    pad_conditions: z.preprocess(fromJson, promptFields.padConditions).optional(),
    emphasis: promptFields.emphasis.optional(),
    dynamic_prompts: z.preprocess(fromJson, promptFields.dynamicPrompts).optional(),
    cfg: scale,
    width: whole(8192, 8),
    height: whole(8192, 8),
  })
  .openapi("OpenAIImageEdit");

/** A form has text alone; what is no JSON is left for the schema to refuse. */
function fromJson(value: unknown): unknown {
  try {
    return typeof value === "string" ? JSON.parse(value) : value;
  } catch {
    return value;
  }
}

const tokens = z.object({ image_tokens: z.int(), text_tokens: z.int() });
const usage = z.object({
  input_tokens: z.int(),
  input_tokens_details: tokens,
  output_tokens: z.int(),
  total_tokens: z.int(),
});

export const imagesAnswer = z
  .object({
    created: z.int(),
    background: z.literal("opaque"),
    output_format: z.enum(["png", "jpeg", "webp"]),
    size: z.string(),
    data: z.array(
      z.object({ b64_json: z.string().optional(), url: z.string().optional(), seed: z.string() }),
    ),
    warnings: z
      .array(z.string())
      .openapi({ description: "What of the request was cut, changed or has no effect." }),
    usage,
  })
  .openapi("OpenAIImages");

export const modelsAnswer = z
  .object({
    object: z.literal("list"),
    data: z.array(
      z.object({
        ...{ id: z.string(), object: z.literal("model"), created: z.int(), owned_by: z.string() },
        device: z.string().optional().openapi({ description: "Where it is generated.", example: "webgpu" }),
        dtype: z.string().optional().openapi({ description: "The type of the arithmetic." }),
        weights: z.string().optional().openapi({ description: "How weights are held.", example: "int8" }),
      }),
    ),
  })
  .openapi("OpenAIModels");

export const openaiError = z
  .object({
    error: z.object({
      message: z.string(),
      type: z.string(),
      param: z.string().nullable(),
      code: z.string().nullable(),
    }),
  })
  .openapi("OpenAIError");

export type GenerationBody = z.infer<typeof generationBody>;
export type EditForm = z.infer<typeof editForm>;
export type ImagesAnswer = z.infer<typeof imagesAnswer>;

/** Clients add these up; no tokens are counted here. */
export const noUsage: ImagesAnswer["usage"] = {
  input_tokens: 0,
  input_tokens_details: { image_tokens: 0, text_tokens: 0 },
  output_tokens: 0,
  total_tokens: 0,
};
