/** @file What a server offers, as schemas: its models with the defaults of their requests, and its limits. */

import { z } from "@hono/zod-openapi";
import { type SafetyRule, safetyRules } from "../pipeline/safety-rules.js";
import type { Words } from "../pipeline/vocabulary.js";
import { scaledLora } from "./schemas.js";

const limits = z
  .strictObject({
    bodyBytes: z.int(),
    pixels: z.int().openapi({ description: "Most of width x height." }),
    steps: z.int(),
    count: z.int(),
    queue: z.int().openapi({ description: "Jobs that may wait." }),
  })
  .openapi("Limits");

/** Of requests that begin with an image. */
const fromImage = (what: string) =>
  z
    .strictObject({ guidanceScale: z.number(), strength: z.number() })
    .openapi({ description: `What a request with ${what} gets where it leaves these out.` });

const named = z.object({ name: z.string(), aliases: z.array(z.string()).default([]) });
const words = z.object({
  nouns: z.array(named),
  styles: z.array(named.extend({ set: z.string().optional() })),
  backgrounds: z.array(z.string()),
  heldOut: z.array(z.string()).default([]),
}) satisfies z.ZodType<Words>;

const model = z
  .strictObject({
    id: z.string(),
    name: z.string(),
    pipeline: z.string().openapi({ example: "StableDiffusionXLPipeline" }),
    device: z.string().optional().openapi({ example: "webgpu" }),
    dtype: z.string().optional().openapi({ example: "float32" }),
    weights: z.string().optional().openapi({ example: "int8" }),
    sizeMultiple: z.int().openapi({ description: "Width and height are multiples of this." }),
    advisedBy: z.string().openapi({ description: "Where the defaults come from.", example: "koala.json" }),
    defaults: z.strictObject({
      width: z.int(),
      height: z.int(),
      steps: z.int(),
      guidanceScale: z.number(),
      negativePrompt: z.string().optional(),
      scheduler: z.string(),
    }),
    imageToImage: fromImage("`image`"),
    inpainting: fromImage("`image` and `mask`"),
    schedulers: z.array(z.string()),
    loras: z.array(scaledLora).openapi({ description: "What fits it, with the scale that is the default." }),
    embeddings: z
      .array(z.object({ token: z.string(), vectors: z.int(), width: z.int() }))
      .optional()
      .openapi({
        description: "The textual inversions that prompts may name. width: of all text encoders together.",
      }),
    safety: z
      .strictObject({ default: z.enum(safetyRules), choices: z.array(z.enum(safetyRules)) })
      .optional()
      .openapi({
        description:
          "What requests may choose for images that the safety checker flags; only off where there is none.",
      }),
    signed: z
      .literal(true)
      .optional()
      .openapi({ description: "Present where images are signed with content credentials: not as WebP." }),
    words: words.optional().openapi({
      description:
        "Of a model that knows few words: which. A prompt joins a noun, a style and a background: " +
        '"a koala, line art, on a yellow background". heldOut: pairs "noun/set" that training never saw.',
    }),
  })
  .openapi("Model");

export const modelList = z
  .strictObject({ models: z.array(model), limits })
  .openapi("ModelList", { description: "The first model is the one that is taken where none is named." });

/** What requests may take at most. */
export type Limits = {
  /** Bytes of a request's body that carries an image. */
  bodyBytes: number;
  /** Pixels of an image: width times height. */
  pixels: number;
  /** Steps of an image. */
  steps: number;
  /** Images of a job. */
  count: number;
  /** Jobs that may wait. */
  queue: number;
};
limits satisfies z.ZodType<Limits>;

/** What a request that begins with an image gets where it leaves these out. */
export type ImageDefaults = { guidanceScale: number; strength: number };

/** The rule of requests that name none, and those that they may name. */
export type ModelSafety = { default: SafetyRule; choices: SafetyRule[] };

/** A served model, and the defaults of its requests. */
export type Model = {
  /** The name that requests give: a Hub id, or the name of the model's folder. */
  id: string;
  /** The id without its owner. */
  name: string;
  /** Diffusers' class: "StableDiffusionXLPipeline". */
  pipeline: string;
  /** Where it is generated, "cpu"; with Redis as a worker said last. */
  device?: string | undefined;
  /** The type of the arithmetic: "float32". */
  dtype?: string | undefined;
  /** How its weights are held: "stored", "int8" or "int8-fast". */
  weights?: string | undefined;
  /** Width and height are multiples of this. */
  sizeMultiple: number;
  /** Where the defaults come from: "koala.json". */
  advisedBy: string;
  defaults: {
    width: number;
    height: number;
    steps: number;
    guidanceScale: number;
    negativePrompt?: string | undefined;
    /** One of `schedulers`. */
    scheduler: string;
  };
  /** Defaults of requests with an image. */
  imageToImage: ImageDefaults;
  /** Defaults of requests with an image and a mask. */
  inpainting: ImageDefaults;
  /** Names of the schedulers that requests may choose, the model's own first. */
  schedulers: string[];
  /** The LoRAs that fit it, each with its default scale. */
  loras: { name: string; scale: number }[];
  /** The textual inversions that prompts may name. */
  embeddings?: { token: string; vectors: number; width: number }[] | undefined;
  /** What requests may choose for images that the safety checker flags; with Redis a worker may know better. */
  safety?: ModelSafety | undefined;
  /** Present where images are signed with content credentials, so that WebP is refused. */
  signed?: true | undefined;
  /** Of a model that knows few words: which. */
  words?: Words | undefined;
};
model satisfies z.ZodType<Model>;
export type ModelList = z.infer<typeof modelList>;
