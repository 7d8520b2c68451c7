/**
 * @file Reads the settings that other programs put into images, under A1111's names and with the programs' own values.
 * Pure.
 */

import { type Parameters, parseParameters } from "../parameters.js";
import { fromComfyui } from "./comfyui.js";
import type { FoundSettings } from "./found-settings.js";
import { fromDream, fromSdMetadata } from "./invokeai.js";
import { at, isObject, type Json, modelName, objectIn, present, scalar, textOf } from "./json.js";
import { type JsonProgram, jsonPrograms } from "./table.js";

/** The names of texts that hold settings by themselves, the plainest first. */
const carriers = ["parameters", "UserComment", "XPComment", "Description", "Comment", "Model"];
const invokeai = ["invokeai_metadata", "sd-metadata", "Dream", "dream"];
/** Of ComfyUI, NovelAI and Easy Diffusion, which spread what they write over several texts. */
const spread = [
  ...["prompt", "workflow", "Software", "Source", "Make"],
  ...["negative_prompt", "seed", "use_stable_diffusion_model", "clip_skip", "use_vae_model", "sampler_name"],
  ...["width", "height", "num_inference_steps", "guidance_scale", "prompt_strength", "use_lora_model"],
  ...["Prompt", "Negative Prompt", "Seed", "Stable Diffusion model", "Clip Skip", "VAE model", "Sampler"],
  ...["Width", "Height", "Steps", "Guidance Scale", "Prompt Strength", "LoRA model"],
];

/** Every text that is looked at; there is no need to read others out of a file. */
export const wantedTexts: readonly string[] = [...carriers, ...invokeai, ...spread];

/** The settings in an image's texts by their names; undefined where none of them is a known program's. */
export function settingsIn(texts: ReadonlyMap<string, string>): FoundSettings | undefined {
  const own = (name: string) => texts.get(name) ?? "";
  for (const name of [...carriers, ...invokeai]) {
    const object = objectIn(own(name));
    const found = object ? fromObject(object) : fromText(own(name), name);
    if (found) return found;
  }
  const dream = fromDream(own("Dream") || own("dream"));
  if (dream) return { program: "InvokeAI", parameters: dream };
  return fromObject({ ...labelledInExif(texts), ...Object.fromEntries(texts) });
}

/** A1111's grammar takes any three `name: value` for settings, as a caption may have them: elsewhere, steps must be among them. */
function fromText(text: string, name: string): FoundSettings | undefined {
  const parameters = parseParameters(text);
  const { fields } = parameters;
  if (fields.size === 0 || (name !== "parameters" && !fields.has("Steps"))) return undefined;
  return { program: writerOf(fields), parameters };
}

function fromObject(object: Json): FoundSettings | undefined {
  const sdMetadata = fromSdMetadata(object);
  if (sdMetadata) return { program: "InvokeAI", parameters: sdMetadata };
  for (const program of jsonPrograms) {
    const parameters = program.is(object) ? fromJson(object, program) : undefined;
    if (parameters) return { program: program.name, parameters };
  }
  return fromComfyui(object);
}

/** Who wrote a text in A1111's grammar. */
function writerOf(fields: ReadonlyMap<string, string>): string {
  const version = fields.get("Version") ?? "";
  const writer = writers.find(([begin]) => version.startsWith(begin));
  return fields.get("App")?.slice(0, 40) ?? writer?.[1] ?? "AUTOMATIC1111 or a program like it";
}

const writers: readonly (readonly [version: string, program: string])[] = [
  ["f0.", "Forge"],
  ["f1.", "Forge"],
  ["f2.", "Forge"],
  ["Fooocus", "Fooocus"],
  ["ComfyUI", "ComfyUI"],
  ["stable-diffusion.cpp", "stable-diffusion.cpp"],
  ["koala-diffusion", "koala-diffusion"],
];

/** ComfyUI's WebP files have `prompt:{...}` and `workflow:{...}` in EXIF's tags for cameras. */
function labelledInExif(texts: ReadonlyMap<string, string>): Json {
  const labelled = ["Model", "Make", "Description"].flatMap((name) => {
    const [, label, text] = /^(prompt|workflow):\s*(\{[\s\S]*)$/i.exec(texts.get(name) ?? "") ?? [];
    return label !== undefined && text !== undefined ? [[label.toLowerCase(), text] as const] : [];
  });
  return Object.fromEntries(labelled);
}

function fromJson(object: Json, { inside, keys, matters, rng }: JsonProgram): Parameters | undefined {
  const settings = inside ? inside(object) : object;
  if (!isObject(settings)) return undefined;
  const value = (paths: string | undefined) => (paths === undefined ? undefined : first(settings, paths));
  const prompt = textAt(settings, keys.prompt);
  if (prompt === undefined) return undefined;
  const [model, strength, device] = [value(keys.model), value(keys.strength), value(keys.rng)];
  const given: Record<string, string | undefined> = {
    Steps: value(keys.steps),
    Sampler: value(keys.sampler),
    "Schedule type": value(keys.schedule),
    "CFG scale": value(keys.cfg),
    Seed: value(keys.seed),
    Size: sizeIn(settings, keys.size),
    Model: model && modelName(model),
    "Denoising strength": Number(strength ?? 1) === 1 ? undefined : strength,
    RNG: rng ?? device?.toUpperCase(),
  };
  const fields = new Map([...left(settings, keys, matters), ...present(given)]);
  return { prompt, negativePrompt: textAt(settings, keys.negative), fields };
}

const alternatives = (paths: string): string[] => paths.split("|");

const first = (settings: Json, paths: string): string | undefined =>
  alternatives(paths)
    .map((path) => scalar(at(settings, path)))
    .find((value) => value !== undefined);

const textAt = (settings: Json, paths: string): string | undefined =>
  alternatives(paths)
    .map((path) => textOf(at(settings, path)))
    .find((value) => value !== undefined);

/** "512x768", as it is, from Fooocus' "(512, 768)", or of two values. */
function sizeIn(settings: Json, paths: string): string | undefined {
  for (const path of alternatives(paths)) {
    const values = path.split(",").map((key) => scalar(at(settings, key)));
    const [, width, height] = /^\(?(\d+)\D{1,3}(\d+)\)?$/.exec(values.join("x")) ?? [];
    if (width !== undefined) return `${width}x${height}`;
  }
  return undefined;
}

/** Settings of a file, or without effect on an image. */
const idle =
  /version|hash|date|time|software|scheme|^app_|created|generation_mode|image_number|aspect|preview/i;

/** Settings under the program's own names that say something and that nothing above is read from. */
function left(settings: Json, keys: JsonProgram["keys"], matters?: readonly string[]): Map<string, string> {
  const used = Object.values(keys).flatMap((paths) => paths.split(/[|,]/).map((path) => path.split(".")[0]!));
  const names = (matters ?? Object.keys(settings)).filter((name) => !used.includes(name) && !idle.test(name));
  return new Map(
    names.flatMap((name) => {
      const value = Object.hasOwn(settings, name) ? settings[name] : undefined;
      return saysSomething(value) ? [[name, scalar(value) ?? "set"] as const] : [];
    }),
  );
}

function saysSomething(value: unknown): boolean {
  if (typeof value === "object" && value !== null) return Object.keys(value).length > 0;
  if (typeof value === "string") return !/^(|None|null|False|\[\]|0(\.0*)?)$/.test(value);
  return Boolean(value);
}
