/** @file The metadata that an image records of its generation: its fields, its JSON, and its check when read from a file. */

import * as z from "zod/mini";
import { type Precision, type WeightFormat, weightFormats } from "../../engine/device.js";
import { InvalidRequest, listed } from "../../errors.js";
import {
  type Emphasis,
  emphasisRules,
  type LongPrompts,
  longPromptRules,
  type PromptSyntax,
  promptSyntaxes,
} from "../../text/prompt-rules.js";
import { schemaProblem } from "../../validation.js";
import { type SafetyRule, safetyRules } from "../safety-rules.js";

/** The model that generated an image. */
export type ModelMetadata = {
  /** On the Hub, with the commit, where the folder's path shows them. */
  id?: string;
  revision?: string;
  name: string;
  /** The class in model_index.json. */
  pipeline: string;
  /** "sha256:..." of the configs, tokenizers and weights that the folder gave. */
  fingerprint: string;
  variant?: string;
  /** What replaced the folder's own. */
  unet?: { name: string; fingerprint: string };
  vae?: { name: string; fingerprint: string };
  textEncoder?: { name: string; fingerprint: string };
  textEncoder2?: { name: string; fingerprint: string };
  /** Of a single file: whose configs and which tokenizer it was opened with, and whether with its moving average. */
  config?: { name: string; fingerprint: string };
  tokenizer?: { name: string; fingerprint: string };
  ema?: true;
  /** The safety checker that was named. */
  safetyChecker?: { name: string; fingerprint: string };
  loras?: { name: string; sha256: string; scale: number }[];
  /** The textual inversions whose token is in a prompt. */
  embeddings?: { token: string; name: string; sha256: string }[];
};

/** An image that a generation began with: "sha256:..." of the file, or of pixels, which have no name. */
export type InputMetadata = { name?: string; sha256: string };

/**
 * What an image was generated from: the fields of its `GenerateRequest` with their defaults filled in, those without
 * effect left out. No path of this machine is in it, and no time.
 */
export type ImageMetadata = {
  /** The version of this format. */
  format: 1;
  /** This package and its version. */
  app: string;
  /** The version of ONNX Runtime, on which the last bits depend. */
  onnxruntime: string;
  /** Where the networks ran: `cpu`, `webgpu`, `cuda:1`. The CPU if left out, as by versions that had no other. */
  device?: string;
  /** The type of the arithmetic; float32 if left out. */
  dtype?: Precision;
  /** How the weights of U-Net and text encoders were held; as stored if left out. */
  weights?: WeightFormat;
  model: ModelMetadata;
  prompt: string;
  prompt2?: string;
  negativePrompt?: string;
  negativePrompt2?: string;
  /** How the prompts were read; left out where it is as in Diffusers. */
  promptSyntax?: PromptSyntax;
  longPrompts?: LongPrompts;
  padConditions?: boolean;
  emphasis?: Emphasis;
  /** What the prompts were expanded from. */
  promptTemplate?: string;
  negativePromptTemplate?: string;
  /** Pixels. */
  width: number;
  height: number;
  numInferenceSteps: number;
  timesteps?: number[];
  sigmas?: number[];
  guidanceScale: number;
  guidanceRescale?: number;
  eta?: number;
  clipSkip?: number;
  strength?: number;
  denoisingStart?: number;
  denoisingEnd?: number;
  originalSize?: [height: number, width: number];
  cropsCoordsTopLeft?: [top: number, left: number];
  targetSize?: [height: number, width: number];
  negativeOriginalSize?: [height: number, width: number];
  negativeCropsCoordsTopLeft?: [top: number, left: number];
  negativeTargetSize?: [height: number, width: number];
  /** The side of the autoencoder's tiles in pixels, where it worked in tiles. */
  vaeTiling?: number;
  image?: InputMetadata;
  mask?: InputMetadata;
  /** The image's own, in decimal. */
  seed?: string;
  rng: "cpu" | "cuda";
  /** The class, and the settings that are not its defaults, in camelCase. */
  scheduler: { className: string; config: Record<string, unknown> };
  /** Arguments that cannot be recorded: generators, latents. */
  notRecorded?: string[];
  /** Of a model with a safety checker: what became of flagged images, and whether this was one. */
  safety?: SafetyRule;
  flagged?: true;
  /** What of the request was cut, changed or without effect. */
  warnings?: string[];
};

const text = z.string("must be text");
/** Shown to a user: a hostile file must not control the terminal. */
const label = z.pipe(text.check(z.maxLength(1000, "must be shorter")), z.transform(printable));
const number = z.number("must be a finite number");
const hash = text.check(z.regex(/^sha256:[0-9a-f]{64}$/, 'must be "sha256:" and 64 hex digits'));
const numbers = z
  .array(number, "must be a list of numbers")
  .check(z.maxLength(1000, "must have at most 1000 numbers"));
const size = z.tuple([number, number], "must be a height and a width");
const kind = z.enum(["cpu", "cuda"], 'must be "cpu" or "cuda"');
const precision = z.enum(["float32", "float16"], 'must be "float32" or "float16"');
const weightFormat = z.enum(
  weightFormats,
  `must be ${weightFormats.map((name) => `"${name}"`).join(" or ")}`,
);
const weights = z.strictObject({ name: label, fingerprint: hash });
const image = z.strictObject({ name: z.exactOptional(label), sha256: hash });

const model = z.strictObject({
  id: z.exactOptional(label),
  revision: z.exactOptional(label),
  name: label,
  pipeline: label,
  fingerprint: hash,
  variant: z.exactOptional(label),
  unet: z.exactOptional(weights),
  vae: z.exactOptional(weights),
  textEncoder: z.exactOptional(weights),
  textEncoder2: z.exactOptional(weights),
  safetyChecker: z.exactOptional(weights),
  config: z.exactOptional(weights),
  tokenizer: z.exactOptional(weights),
  ema: z.exactOptional(z.literal(true, "must be true")),
  loras: z.exactOptional(z.array(z.strictObject({ name: label, sha256: hash, scale: number }))),
  embeddings: z.exactOptional(z.array(z.strictObject({ token: label, name: label, sha256: hash }))),
});

/** Of images made before `dtype` was the arithmetic: there it chose the files, as `variant` does. */
const modelOfAnyAge = z.pipe(
  z.strictObject({ ...model.shape, dtype: z.exactOptional(precision) }),
  z.transform(({ dtype, ...rest }) => ({ ...(dtype === "float16" && { variant: "fp16" }), ...rest })),
);

const schema = z.strictObject({
  format: z.literal(1, "must be 1"),
  app: label,
  onnxruntime: label,
  device: z.exactOptional(label),
  dtype: z.exactOptional(precision),
  weights: z.exactOptional(weightFormat),
  model: modelOfAnyAge,
  prompt: text,
  prompt2: z.exactOptional(text),
  negativePrompt: z.exactOptional(text),
  negativePrompt2: z.exactOptional(text),
  promptSyntax: z.exactOptional(z.enum(promptSyntaxes, 'must be "none" or "a1111"')),
  longPrompts: z.exactOptional(z.enum(longPromptRules, 'must be "cut" or "chunks"')),
  padConditions: z.exactOptional(z.boolean("must be true or false")),
  emphasis: z.exactOptional(z.enum(emphasisRules, 'must be "original" or "noNorm"')),
  promptTemplate: z.exactOptional(text),
  negativePromptTemplate: z.exactOptional(text),
  width: number,
  height: number,
  numInferenceSteps: number,
  timesteps: z.exactOptional(numbers),
  sigmas: z.exactOptional(numbers),
  guidanceScale: number,
  guidanceRescale: z.exactOptional(number),
  eta: z.exactOptional(number),
  clipSkip: z.exactOptional(number),
  strength: z.exactOptional(number),
  denoisingStart: z.exactOptional(number),
  denoisingEnd: z.exactOptional(number),
  originalSize: z.exactOptional(size),
  cropsCoordsTopLeft: z.exactOptional(size),
  targetSize: z.exactOptional(size),
  negativeOriginalSize: z.exactOptional(size),
  negativeCropsCoordsTopLeft: z.exactOptional(size),
  negativeTargetSize: z.exactOptional(size),
  vaeTiling: z.exactOptional(number),
  image: z.exactOptional(image),
  mask: z.exactOptional(image),
  seed: z.exactOptional(text.check(z.regex(/^-?\d{1,20}$/, "must be a whole number in quotes"))),
  rng: kind,
  scheduler: z.strictObject({ className: label, config: z.record(text, z.unknown()) }),
  notRecorded: z.exactOptional(z.array(label)),
  safety: z.exactOptional(z.enum(safetyRules, 'must be "off", "blur" or "refuse"')),
  flagged: z.exactOptional(z.literal(true, "must be true")),
  warnings: z.exactOptional(z.array(text)),
}) satisfies z.ZodMiniType<ImageMetadata>;

/** JSON in ASCII without `<`, `>` and `&`, which Latin-1 and XML hold unchanged; keys in the order given. */
export function metadataText(
  metadata: { [K in keyof ImageMetadata]?: ImageMetadata[K] | undefined },
): string {
  return JSON.stringify(metadata).replace(
    /[<>&\u007f-\uffff]/g,
    (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

/** Reads the JSON of a file; InvalidRequest names the field that is wrong or that this version, `app`, does not know. */
export function parseMetadata(json: string, { file, app }: { file: string; app: string }): ImageMetadata {
  const value = parsed(json, file);
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const writer = (value as { app?: unknown } | null)?.app;
  const by =
    typeof writer === "string" && writer !== app
      ? ` It was generated by ${printable(writer.slice(0, 80))}.`
      : "";
  const remedy = `This is ${app}.${by} Generate it with that version, or give the settings yourself.`;
  const unknown = "is not a setting that this version knows";
  const problem = schemaProblem(result.error, value, { unknown });
  const field = printable(problem.field).slice(0, 200);
  throw new InvalidRequest(`${file}: ${field}`, problem.value, `${printable(problem.rule)} ${remedy}`);
}

/** Without control characters. */
export function printable(given: string): string {
  return given.replace(/\p{C}/gu, "?");
}

function parsed(json: string, file: string): unknown {
  try {
    return JSON.parse(json);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new InvalidRequest(
      `${file}: metadata`,
      json.slice(0, 80),
      `must be JSON, got ${listed([json.slice(0, 80)])}: ${printable(why.slice(0, 120))}. The file was changed.`,
    );
  }
}
