/** @file A picture file becomes a request again: exactly from our record, as far as it goes from A1111's text. */

import path from "node:path";
import { schedulerFromConfig } from "../diffusion/scheduler.js";
import { webuiScheduler } from "../diffusion/webui-names.js";
import { InvalidRequest } from "../errors.js";
import { readTexts } from "../image/metadata.js";
import { type Parameters, parseParameters } from "../image/metadata-parameters.js";
import { versions } from "./provenance.js";
import { type ModelRecord, type PictureRecord, parseRecord, printable } from "./record.js";
import type { GenerateRequest } from "./request.js";

export type SavedRequest = {
  /** Ready for `generate`, but for the pictures it began with: `image` and `mask` must be given again. */
  request: Omit<GenerateRequest, "prompt" | "seed"> & { prompt: string; seed?: bigint };
  /** The scheduler's class and settings: all of them if `exact`, else what differs from the model's own. */
  scheduler: { className: string; config: Readonly<Record<string, unknown>> } | undefined;
  /** The model by name, and by fingerprint where `exact`. */
  model: (Partial<ModelRecord> & { name: string }) | undefined;
  image: PictureRecord["image"];
  mask: PictureRecord["mask"];
  /** Whether the same model on the same machine and version paints the same bytes from this. */
  exact: boolean;
  /** What a user should know: another version, or what was not taken over. */
  notes: readonly string[];
};

/** Reads what a PNG, JPEG or WebP file was painted from; InvalidRequest names what is missing or not known. */
export async function readRequest(file: string): Promise<SavedRequest> {
  const { record, parameters } = await readTexts(file);
  const name = path.basename(file);
  if (record !== undefined) return fromRecord(record, name);
  const read = parameters === undefined ? undefined : parseParameters(parameters);
  if (read && read.fields.size > 0) return fromParameters(read, name);
  const rule = "must be a picture that holds its settings, got none inside";
  throw new InvalidRequest(
    "picture",
    name,
    `${name}: ${rule}. Sites and messengers strip them: use the file as it was painted.`,
  );
}

function fromRecord(json: string, file: string): SavedRequest {
  const now = versions();
  const record = parseRecord(json, { file, app: now.app });
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

const used = ["Steps", "Sampler", "Schedule type", "CFG scale", "Seed", "Size", "Model", "RNG", "Version"];

function fromParameters({ prompt, negativePrompt, fields }: Parameters, file: string): SavedRequest {
  const passed = new Set([...fields.keys()].filter((name) => !used.includes(name)));
  /** A value that `read` makes something of; otherwise it is passed over. */
  const take = <T>(name: string, read: (value: string) => T | undefined): T | undefined => {
    const value = fields.get(name);
    const taken = value === undefined ? undefined : read(value);
    if (value !== undefined && taken === undefined) passed.add(name);
    return taken;
  };
  const steps = take("Steps", (v) => (/^\d{1,3}$/.test(v) && Number(v) > 0 ? Number(v) : undefined));
  const guidance = take("CFG scale", (v) => (/^\d{1,3}(\.\d+)?$/.test(v) ? Number(v) : undefined));
  const seed = take("Seed", (v) => (/^\d{1,19}$/.test(v) ? BigInt(v) : undefined));
  const size = take("Size", (v) => /^(\d{1,4})x(\d{1,4})$/.exec(v)?.slice(1).map(Number));
  const scheduler = take("Sampler", (v) => webuiScheduler(v, fields.get("Schedule type")));
  const name = fields.get("Model");
  const rest = passed.size > 0 ? `; not taken over: ${[...passed].slice(0, 12).join(", ")}` : "";
  return {
    request: {
      prompt,
      ...(negativePrompt !== undefined && { negativePrompt }),
      ...(steps !== undefined && { numInferenceSteps: steps }),
      ...(guidance !== undefined && { guidanceScale: guidance }),
      ...(seed !== undefined && { seed }),
      ...(size && { width: size[0]!, height: size[1]! }),
      // A1111 draws on the GPU unless it is told otherwise.
      rng: fields.get("RNG") === "CPU" ? "cpu" : "cuda",
    },
    scheduler: scheduler && { className: scheduler.className, config: scheduler.overrides },
    model: name === undefined ? undefined : { name: printable(name) },
    image: undefined,
    mask: undefined,
    exact: false,
    notes: [`${file} was painted by another program: the picture will be like it at best${rest}`],
  };
}
