/**
 * @file What clients send and see over the jobs API, as schemas: they validate, they make the OpenAPI document, and
 * their types are the page's. Independent of queues and pipelines.
 */

import { z } from "@hono/zod-openapi";
import { seedPattern } from "../diffusion/seed.js";
import { safetyRules } from "../pipeline/safety-rules.js";
import { emphasisRules, longPromptRules, promptSyntaxes } from "../text/prompt-rules.js";

/** An image in a request: base64, or a data: URL. Never a path, never an address to fetch. */
const image = (what: string) =>
  z
    .string()
    .min(1)
    .openapi({
      description: `${what}: PNG, JPEG or WebP in base64, or as a data: URL.`,
      example: "iVBORw0KGgo…",
    });

const wholeSeed = "must be a whole number of 64 bits, or -1 to draw one";

/** A seed as JSON: -1 draws one. Its range of 64 bits is checked when the request is completed. */
export const seedField = z.union([z.int(wholeSeed), z.string().regex(seedPattern, wholeSeed)], wholeSeed);

const outputFormat = z.enum(["png", "jpeg", "webp"]);

const loraName = z.string().min(1).max(200).openapi({ example: "pixel-art" });
const loraScale = z.number().min(-10).max(10);

/** LoRAs as every API takes them. Whether the model has them is checked when the request is completed. */
export const loraField = z
  .array(z.strictObject({ name: loraName, scale: loraScale.optional() }))
  .max(16)
  .openapi({ description: "Of the model's `loras`; scale is the server's for it if left out." });

/** A LoRA and how strongly it is added. */
export const scaledLora = z.strictObject({ name: loraName, scale: loraScale });

/** How prompts are read, as every API takes it. */
export const promptFields = {
  promptSyntax: z.enum(promptSyntaxes).openapi({
    description:
      'How the prompts are read: "none", as plain text, or "a1111", by AUTOMATIC1111\'s grammar of weights, prompt editing, ' +
      'AND, BREAK and tags of the model\'s `loras`. "none" if left out.',
  }),
  longPrompts: z.enum(longPromptRules).openapi({
    description:
      'What becomes of text beyond the tokens that the text encoder reads at once: "chunks", it is read in further chunks, ' +
      'or "cut", it is left out with a warning. "chunks" if left out.',
  }),
  padConditions: z.boolean().openapi({
    description: "Fills the shorter of prompt and negative prompt up with empty chunks. False if left out.",
  }),
  emphasis: z.enum(emphasisRules).openapi({
    description:
      'Of "a1111": after the weights the embeddings get their mean back ("original"), or not ("noNorm"). "original" if left out.',
  }),
  dynamicPrompts: z.boolean().openapi({
    description:
      "Expands {a|b} and __wildcard__ in the prompts, by each image's seed. Wildcards are those of koala serve --wildcards.",
  }),
};

/** Limits beyond these (pixels, steps, count of this server) are checked when the request is resolved. */
export const generationRequest = z
  .strictObject({
    prompt: z.string().max(20_000).openapi({ example: "a red bicycle beside a yellow wall" }),
    negativePrompt: z.string().max(20_000).optional(),
    promptSyntax: promptFields.promptSyntax.optional(),
    longPrompts: promptFields.longPrompts.optional(),
    padConditions: promptFields.padConditions.optional(),
    emphasis: promptFields.emphasis.optional(),
    dynamicPrompts: promptFields.dynamicPrompts.optional(),
    model: z
      .string()
      .max(500)
      .optional()
      .openapi({ description: "An id of GET /api/models; the first if left out." }),
    width: z
      .int()
      .min(8)
      .max(8192)
      .optional()
      .openapi({ description: "Pixels, a multiple of the model's sizeMultiple." }),
    height: z.int().min(8).max(8192).optional(),
    steps: z.int().min(1).max(1000).optional(),
    guidanceScale: z
      .number()
      .min(0)
      .max(100)
      .optional()
      .openapi({ description: "The model's own for this kind of request if left out." }),
    seed: seedField.optional().openapi({
      description:
        "Image i is generated from seed + i. Drawn at random if -1 or left out. May be text, for digits beyond 2^53.",
    }),
    scheduler: z
      .string()
      .max(100)
      .optional()
      .openapi({ description: "A name from the model's list of schedulers.", example: "dpmpp-2m-karras" }),
    count: z.int().min(1).max(100).optional().openapi({ description: "How many images; 1 if left out." }),
    image: image("Image-to-image: begin with this").optional(),
    mask: image(
      "Inpainting: generate `image` anew where this is opaque, or white if it is opaque everywhere",
    ).optional(),
    strength: z
      .number()
      .min(0)
      .max(1)
      .optional()
      .openapi({
        description:
          "How much of `image` is replaced: the share of the steps that is run. If left out, the model's own: by " +
          "Diffusers 0.3 for SDXL and 0.8 for Stable Diffusion, with a mask 0.9999 and 1.",
      }),
    lora: loraField.optional(),
    clipSkip: z.int().min(0).max(32).optional(),
    vaeTiling: z
      .union([z.boolean(), z.int().min(8).max(8192)], "must be true, false or a tile's pixels")
      .optional()
      .openapi({
        description:
          "Decodes in tiles, of so many pixels or the autoencoder's own: less memory, not quite the same image. If left " +
          "out, where it would not fit otherwise, with a warning; false never.",
      }),
    safety: z
      .enum(safetyRules)
      .optional()
      .openapi({
        description:
          "What becomes of images that the model's safety checker flags: blurred, or the job fails. Of the model's `safety`; " +
          "its default if left out.",
      }),
    rng: z
      .enum(["cpu", "cuda"])
      .optional()
      .openapi({ description: "The generator of PyTorch's that a seed is for." }),
    outputFormat: outputFormat.optional().openapi({ description: "png if left out." }),
    quality: z.int().min(1).max(100).optional().openapi({ description: "Of JPEG and WebP; 95 if left out." }),
    attentionMaps: z
      .boolean()
      .optional()
      .openapi({
        description:
          "Keep where each word of the prompt went, to be had at an image's attentionUrl. Not for prompts that are composed by " +
          "AND or change during the run. False if left out.",
      }),
    explainSteps: z.boolean().optional().openapi({
      description:
        "Keep what each step predicted, of at most 25 steps, to be had at the image's stepsUrl. For a count of 1. False if left out.",
    }),
    previews: z.boolean().optional().openapi({
      description: "Send a small image after every step to those who follow the job's events.",
    }),
  })
  .openapi("GenerationRequest");

/** What a job is generated with: the request with every default filled in. */
const settings = z
  .strictObject({
    prompt: z.string(),
    negativePrompt: z.string().optional(),
    promptSyntax: z.enum(promptSyntaxes).optional().openapi({ description: 'Present if "a1111".' }),
    longPrompts: z.enum(longPromptRules).optional().openapi({ description: 'Present if "cut".' }),
    padConditions: z.boolean().optional().openapi({ description: "Present if true." }),
    emphasis: z.enum(emphasisRules).optional().openapi({ description: "Present if it was given." }),
    dynamicPrompts: z.boolean().optional().openapi({
      description: "Present if true: the prompts are as they were sent; each image records what they became.",
    }),
    model: z.string(),
    width: z.int(),
    height: z.int(),
    steps: z.int(),
    guidanceScale: z.number(),
    seed: z.string().openapi({ description: "Of the first image, in decimal.", example: "7" }),
    scheduler: z.string(),
    count: z.int(),
    strength: z.number().optional().openapi({ description: "Present where the job began with an image." }),
    masked: z.boolean(),
    lora: z.array(scaledLora).optional().openapi({ description: "Present where LoRAs are added." }),
    clipSkip: z.int().optional(),
    vaeTiling: z.union([z.boolean(), z.int()]).optional(),
    safety: z
      .enum(safetyRules)
      .optional()
      .openapi({ description: "Left out where the model has no checker." }),
    rng: z.enum(["cpu", "cuda"]),
    attentionMaps: z.boolean().optional().openapi({ description: "Present if true." }),
    explainSteps: z.boolean().optional().openapi({ description: "Present if true." }),
    outputFormat,
    quality: z.int().optional(),
  })
  .openapi("GenerationSettings");

const jobState = z.enum(["queued", "running", "done", "failed", "cancelled"]);

const jobImage = z
  .strictObject({
    index: z.int(),
    seed: z
      .string()
      .openapi({ description: "This image's own: given alone, it generates this image again." }),
    width: z.int(),
    height: z.int(),
    mediaType: z.enum(["image/png", "image/jpeg", "image/webp"]),
    warnings: z
      .array(z.string())
      .optional()
      .openapi({ description: "What of the request was cut or changed." }),
    flagged: z
      .literal(true)
      .optional()
      .openapi({ description: "Present where the safety checker flagged it, so that it is blurred." }),
    url: z
      .string()
      .openapi({ description: "On this server; lives an hour.", example: "/api/jobs/4f…/images/0" }),
    attentionUrl: z
      .string()
      .optional()
      .openapi({ description: "Where each word went, as WordMaps; with attentionMaps." }),
    stepsUrl: z
      .string()
      .optional()
      .openapi({ description: "What each step predicted, as StepPredictions; with explainSteps." }),
  })
  .openapi("JobImage");

/** Where each word of a prompt went, small enough to be sent with every image. */
export const wordMaps = z
  .strictObject({
    rows: z.int(),
    columns: z.int(),
    words: z.array(
      z.strictObject({
        word: z.string(),
        tokens: z.array(z.string()).openapi({ description: "As the vocabulary spells them." }),
        mean: z
          .number()
          .openapi({ description: "Of its attention; the least and the most are map's 0 and 255." }),
        least: z.number(),
        most: z.number(),
        map: z.string().openapi({ description: "Bytes of rows by columns, in base64." }),
      }),
    ),
  })
  .openapi("WordMaps");

const smallImage = (of: string) =>
  z.string().openapi({ description: `${of}, as a data: URL of a PNG of at most 128 pixels a side.` });

/** What each step of an image predicted of the clean one, small enough to be kept with it. */
export const stepPredictions = z
  .strictObject({
    total: z.int().openapi({ description: "Steps that were run; of more than 25, 25 are kept." }),
    noise: z.strictObject({
      image: smallImage("What the first step read"),
      values: z.int().openapi({ description: "How many numbers that is: the latents." }),
      mean: z.number(),
      deviation: z.number().openapi({ description: "Their standard deviation." }),
    }),
    steps: z.array(
      z.strictObject({
        index: z.int().openapi({ description: "From 0." }),
        timestep: z.number().openapi({ description: "From 999, pure noise, to 0." }),
        guided: smallImage("The clean image as the step predicts it"),
        prompt: smallImage("The same for the prompt alone; with guidance").optional(),
        negative: smallImage("The same for the negative prompt alone").optional(),
        difference: z
          .number()
          .optional()
          .openapi({ description: "Length of the two predictions' difference over that of the second." }),
      }),
    ),
  })
  .openapi("StepPredictions");

const jobFailure = z
  .strictObject({
    code: z.enum([
      ...(["invalid_request", "flagged", "model_error", "engine_error", "lost", "unavailable"] as const),
      "internal",
    ]),
    message: z.string(),
    field: z.string().optional(),
  })
  .openapi("JobFailure");

export const job = z
  .strictObject({
    id: z.uuid(),
    state: jobState,
    position: z.int().nullable().openapi({ description: "While queued: 1 is generated next." }),
    step: z.int().openapi({ description: "Steps done, of all its images." }),
    total: z.int().openapi({ description: "Steps of all its images." }),
    secondsLeft: z.number().nullable().openapi({ description: "Until it is done; an estimate." }),
    createdAt: z.int().openapi({ description: "Milliseconds since 1970." }),
    startedAt: z.int().nullable(),
    finishedAt: z.int().nullable(),
    settings,
    images: z
      .array(jobImage)
      .openapi({ description: "Finished images; they may come before the job is done." }),
    warnings: z.array(z.string()).openapi({
      description:
        "What of the request was cut, changed or has no effect; its images' warnings are among them.",
    }),
    error: jobFailure.nullable().openapi({ description: "Present if failed." }),
  })
  .openapi("Job");

export const jobList = z.strictObject({ jobs: z.array(job) }).openapi("JobList");

/**
 * The data of the server-sent events `step`, `preview`, `image` and `gone`; `state` carries a Job. `job` is the job's id.
 */
export const stepEvent = z.strictObject({
  job: z.uuid(),
  step: z.int(),
  total: z.int(),
  secondsLeft: z.number().nullable(),
});
export const previewEvent = z.strictObject({
  job: z.uuid(),
  /** Which of the job's images it shows. */
  index: z.int(),
  step: z.int(),
  /** A data: URL. */
  url: z.string(),
});
export const imageEvent = jobImage.extend({ job: z.uuid() });
/** There is no such job: there never was, or it is forgotten. */
export const goneEvent = z.strictObject({ job: z.string() });

export const tokensRequest = z
  .strictObject({
    model: z.string().max(500).optional().openapi({ description: "The first if left out." }),
    texts: z
      .array(z.string().max(20_000))
      .min(1)
      .max(4)
      .openapi({ example: ["a red bicycle", "blurry"] }),
    promptSyntax: promptFields.promptSyntax.optional(),
    longPrompts: promptFields.longPrompts.optional().openapi({
      description:
        'With "chunks" nothing is cut, and chunks are counted. "cut" if left out, and "chunks" with "a1111".',
    }),
  })
  .openapi("TokensRequest");

export const tokenCounts = z
  .strictObject({
    texts: z.array(
      z.strictObject({
        tokens: z.int().openapi({ description: "With the marks of start and end, which are two." }),
        limit: z.int().openapi({ description: "Tokens that the model reads.", example: 77 }),
        cut: z.string().optional().openapi({ description: "What of the text it does not read." }),
        chunks: z.int().optional().openapi({ description: "How many the text is read in, with chunks." }),
      }),
    ),
  })
  .openapi("TokenCounts");

export const problem = z
  .strictObject({
    error: z.strictObject({
      code: z.string().openapi({ example: "invalid_request" }),
      message: z
        .string()
        .openapi({ example: "width: must be a multiple of 8, got 500. Nearest: 496 or 504." }),
      field: z.string().optional().openapi({ example: "width" }),
    }),
  })
  .openapi("Problem");

export type GenerationRequest = z.infer<typeof generationRequest>;
export type OutputFormat = z.infer<typeof outputFormat>;
export type GenerationSettings = z.infer<typeof settings>;
export type JobState = z.infer<typeof jobState>;
export type JobImage = z.infer<typeof jobImage>;
export type WordMaps = z.infer<typeof wordMaps>;
export type StepPredictions = z.infer<typeof stepPredictions>;
export type JobFailure = z.infer<typeof jobFailure>;
export type Job = z.infer<typeof job>;
export type JobList = z.infer<typeof jobList>;
export type StepEvent = z.infer<typeof stepEvent>;
export type PreviewEvent = z.infer<typeof previewEvent>;
export type ImageEvent = z.infer<typeof imageEvent>;
export type GoneEvent = z.infer<typeof goneEvent>;

export type TokensRequest = z.infer<typeof tokensRequest>;
export type TokenCounts = z.infer<typeof tokenCounts>;
export type Problem = z.infer<typeof problem>;
