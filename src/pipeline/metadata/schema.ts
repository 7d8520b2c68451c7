/** @file The exact record inside a picture: its fields, its JSON, and how a file's is checked. */

import { z } from "zod";
import { InvalidRequest, listed } from "../../errors.js";
import { describe } from "../../files/json.js";

const text = z.string("must be text");
/** What is shown to a user: a hostile file must not steer the terminal. */
const label = text.max(1000, "must be shorter").transform(printable);
const number = z.number("must be a finite number");
const hash = text.regex(/^sha256:[0-9a-f]{64}$/, 'must be "sha256:" and 64 hex digits');
const numbers = z.array(number, "must be a list of numbers").max(1000, "must have at most 1000 numbers");
const size = z.tuple([number, number], "must be a height and a width");
const kind = z.enum(["cpu", "cuda"], 'must be "cpu" or "cuda"');
const weights = z.strictObject({ name: label, fingerprint: hash });
/** `sha256` of the file's bytes; of pixels that a program gave, there is no name. */
const image = z.strictObject({ name: label.exactOptional(), sha256: hash });

const model = z.strictObject({
  /** On the Hub, with the commit, where the folder's place tells them. */
  id: label.exactOptional(),
  revision: label.exactOptional(),
  name: label,
  pipeline: label,
  /** Of the configs, tokenizers and weights that the folder gave. */
  fingerprint: hash,
  variant: label.exactOptional(),
  dtype: z.enum(["float32", "float16"], 'must be "float32" or "float16"').exactOptional(),
  unet: weights.exactOptional(),
  vae: weights.exactOptional(),
  loras: z.array(z.strictObject({ name: label, sha256: hash, scale: number })).exactOptional(),
});

const schema = z.strictObject({
  format: z.literal(1, "must be 1"),
  app: label,
  onnxruntime: label,
  model,
  prompt: text,
  prompt2: text.exactOptional(),
  negativePrompt: text.exactOptional(),
  negativePrompt2: text.exactOptional(),
  width: number,
  height: number,
  numInferenceSteps: number,
  timesteps: numbers.exactOptional(),
  sigmas: numbers.exactOptional(),
  guidanceScale: number,
  guidanceRescale: number.exactOptional(),
  eta: number.exactOptional(),
  clipSkip: number.exactOptional(),
  strength: number.exactOptional(),
  denoisingStart: number.exactOptional(),
  denoisingEnd: number.exactOptional(),
  originalSize: size.exactOptional(),
  cropsCoordsTopLeft: size.exactOptional(),
  targetSize: size.exactOptional(),
  negativeOriginalSize: size.exactOptional(),
  negativeCropsCoordsTopLeft: size.exactOptional(),
  negativeTargetSize: size.exactOptional(),
  image: image.exactOptional(),
  mask: image.exactOptional(),
  /** The picture's own, in decimal. */
  seed: text.regex(/^-?\d{1,20}$/, "must be a whole number in quotes").exactOptional(),
  rng: kind,
  /** The settings that are not the class's defaults, in camelCase. */
  scheduler: z.strictObject({ className: label, config: z.record(text, z.unknown()) }),
  /** Arguments that only the program had which painted it. */
  notRecorded: z.array(label).exactOptional(),
  /** What of the request was cut, changed or had no effect. */
  warnings: z.array(text).exactOptional(),
});

/** What a picture was painted from. No local path is in it, and no time. */
export type ImageMetadata = z.output<typeof schema>;
export type ModelMetadata = z.output<typeof model>;

/** JSON in ASCII without `<`, `>` and `&`, so that Latin-1 and XML hold it as it is; keys in the order given. */
export function metadataText(record: { [K in keyof ImageMetadata]?: ImageMetadata[K] | undefined }): string {
  return JSON.stringify(record).replace(
    /[<>&\u007f-\uffff]/g,
    (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

/** Reads a record; InvalidRequest names the field that is wrong or that this version, `app`, does not know. */
export function parseMetadata(json: string, { file, app }: { file: string; app: string }): ImageMetadata {
  const value = parsed(json, file);
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const writer = at(value, ["app"]);
  const by =
    typeof writer === "string" && writer !== app
      ? ` It was painted by ${printable(writer.slice(0, 80))}.`
      : "";
  const remedy = `This is ${app}.${by} Paint it with that version, or give the settings yourself.`;
  // An unknown setting explains more than what follows from it.
  const { issues } = result.error;
  const issue = issues.find(({ code }) => code === "unrecognized_keys") ?? issues[0]!;
  const keys = issue.code === "unrecognized_keys" ? issue.keys : [];
  const field = [...issue.path, ...keys.slice(0, 1)].map(String);
  const got = describe(at(value, field));
  const problem = keys.length > 0 ? "must be a setting this version knows" : issue.message;
  throw new InvalidRequest(
    `${file}: ${printable(field.join(".")).slice(0, 200)}`,
    got,
    `${problem}, got ${got}. ${remedy}`,
  );
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
      `${file}: record`,
      json.slice(0, 80),
      `must be JSON, got ${listed([json.slice(0, 80)])}: ${printable(why.slice(0, 120))}. The file was changed.`,
    );
  }
}

const at = (value: unknown, path: readonly PropertyKey[]): unknown =>
  path.reduce<unknown>(
    (inner, key) =>
      typeof inner === "object" && inner !== null && Object.hasOwn(inner, key)
        ? (inner as Record<PropertyKey, unknown>)[key]
        : undefined,
    value,
  );
