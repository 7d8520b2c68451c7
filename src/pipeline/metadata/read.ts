/** @file An image file becomes a request again: exactly from our record, as far as it goes from other programs' settings. */

import path from "node:path";
import { schedulerFromConfig } from "../../diffusion/schedulers/scheduler.js";
import { InvalidRequest, listed } from "../../errors.js";
import { metadataKeyword, type Texts } from "../../image/metadata/file-texts.js";
import { readFileTexts } from "../../image/metadata/metadata.js";
import { type Found, settingsIn } from "../../image/metadata/programs/programs.js";
import type { GenerateRequest } from "../request.js";
import { programSettings } from "./program-settings.js";
import { type ImageMetadata, type ModelMetadata, parseMetadata, printable } from "./schema.js";
import { versions } from "./write.js";

export type SavedRequest = {
  /** Ready for `generate`, but for the pictures it began with: `image` and `mask` must be given again. */
  request: Omit<GenerateRequest, "prompt" | "seed"> & { prompt: string; seed?: bigint };
  /** The scheduler's class and settings: all of them if `exact`, else what differs from the model's own. */
  scheduler: { className: string; config: Readonly<Record<string, unknown>> } | undefined;
  /** The model by name, and by fingerprint where `exact`. */
  model: (Partial<ModelMetadata> & { name: string }) | undefined;
  image: ImageMetadata["image"];
  mask: ImageMetadata["mask"];
  /** Whether the same model on the same machine and version paints the same bytes from this. */
  exact: boolean;
  /** What a user should know: another version, or what was not taken over. */
  notes: readonly string[];
};

/** Reads what an image file was made from; InvalidRequest names what is missing or not known. */
export async function readRequest(file: string): Promise<SavedRequest> {
  const texts = await readFileTexts(file);
  const name = path.basename(file);
  const record = texts.get(metadataKeyword);
  if (record !== undefined) return fromRecord(record, name);
  const found = settingsIn(texts);
  if (found && found.problem === undefined) return fromProgram(found, name);
  throw new InvalidRequest("picture", name, `${name}: ${found ? unreadable(found) : absent(texts)}`);
}

const unreadable = ({ program, problem }: Found): string =>
  `must hold settings that can be read, got those of ${program}: ${problem}. Give them yourself.`;

/** Texts that are no settings show that nothing was stripped from the file. */
function absent(texts: Texts): string {
  const rule = "must be an image that holds its settings";
  if (texts.size === 0)
    return `${rule}, got none inside. Sites and messengers strip them: use the file as it was generated.`;
  const others = listed([...texts.keys()].map(printable));
  return `${rule}, got no known program's, but other texts: ${others}. Give the settings yourself.`;
}

function fromRecord(json: string, file: string): SavedRequest {
  const now = versions();
  const record = parseMetadata(json, { file, app: now.app });
  const {
    format,
    app,
    onnxruntime,
    model,
    scheduler,
    image,
    mask,
    notRecorded,
    warnings,
    seed,
    ...settings
  } = record;
  if (notRecorded?.length || seed === undefined) {
    const field = notRecorded?.[0] ?? "seed";
    const rule = "was given by a program and is not in the picture. Paint it with that program";
    throw new InvalidRequest(`${file}: ${field}`, undefined, `${rule}, or give the settings yourself.`);
  }
  // Refuses a class or setting that this version lacks before a model is opened.
  named(file, () => schedulerFromConfig({}, scheduler.config, scheduler.className));
  const then = `${app} on ONNX Runtime ${onnxruntime}`;
  const here = `${now.app} on ONNX Runtime ${now.onnxruntime}`;
  const notes =
    then === here ? [] : [`${file} was painted by ${then}; this is ${here}, so the last bits may differ`];
  const request = { ...settings, seed: BigInt(seed) };
  return { request, scheduler, model, image, mask, exact: true, notes };
}

function named<T>(file: string, check: () => T): T {
  try {
    return check();
  } catch (error) {
    if (!(error instanceof InvalidRequest)) throw error;
    const { field, value, message } = error;
    const rule = printable(message.slice(field.length + 2));
    throw new InvalidRequest(`${file}: scheduler.${printable(field)}`, value, rule);
  }
}

function fromProgram({ program, parameters }: Found, file: string): SavedRequest {
  const settings = programSettings(parameters);
  const { prompt, negativePrompt, steps, guidanceScale, seed, size, scheduler, model, rng } = settings;
  const { left, missing, strength } = settings;
  // Which image it began with is not in such files, so a strength alone cannot be used.
  const unused = strength === undefined ? left : [...left, "Denoising strength"];
  const some = (names: readonly string[]) => names.slice(0, 12).map(printable).join(", ");
  const rest = [
    ...(unused.length > 0 ? [`not taken over: ${some(unused)}`] : []),
    ...(missing.length > 0 ? [`not in the file: ${some(missing)}`] : []),
  ];
  const about = `${file} was made by ${printable(program)}: the image will be similar at best`;
  return {
    request: {
      prompt,
      ...(negativePrompt !== undefined && { negativePrompt }),
      ...(steps !== undefined && { numInferenceSteps: steps }),
      ...(guidanceScale !== undefined && { guidanceScale }),
      ...(seed !== undefined && { seed }),
      ...size,
      rng,
    },
    scheduler: scheduler && { className: scheduler.className, config: scheduler.overrides },
    model: model === undefined ? undefined : { name: printable(model) },
    image: undefined,
    mask: undefined,
    exact: false,
    notes: [[about, ...rest].join("; ")],
  };
}
