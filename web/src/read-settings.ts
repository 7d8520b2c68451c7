/** @file What an image file says of its making, as far as the page's form can hold it. */

import { shortNameOf, shortNames } from "../../src/diffusion/schedulers/short-names.js";
import { isSeed } from "../../src/diffusion/seed.js";
import { fileTexts, metadataKeyword } from "../../src/image/metadata/file-texts.js";
import { type Found, settingsIn } from "../../src/image/metadata/programs/programs.js";
import { programSettings } from "../../src/pipeline/metadata/program-settings.js";

export type ReadSettings = {
  /** Absent where the file's program keeps it in a way that is not read. */
  prompt?: string;
  negativePrompt?: string;
  model?: string;
  width?: number;
  height?: number;
  steps?: number;
  guidanceScale?: number;
  seed?: string;
  scheduler?: string;
  strength?: number;
  lora?: readonly { name: string; scale: number }[];
  /** What of another program's settings has no place in the form, in sentences. */
  notes?: readonly string[];
};

/** What was found in a file: settings, or whose they are if they cannot be used, or the names of other texts in it. */
export type Reading = { settings: ReadSettings } | { problem: string };

/** Our record counts before the settings of other programs. */
export async function readingOf(bytes: Uint8Array): Promise<Reading> {
  const texts = await fileTexts(bytes);
  if (!texts) return { problem: "is no PNG, JPEG or WebP file" };
  const record = texts.get(metadataKeyword);
  const own = record === undefined ? undefined : fromRecord(record);
  if (own) return { settings: own };
  const found = settingsIn(texts);
  if (found && found.parameters.fields.size > 0) return { settings: fromProgram(found) };
  if (found) return { problem: `holds settings of ${found.program} that cannot be used: ${found.problem}` };
  if (texts.size === 0) return { problem: "holds no settings: sites and messengers strip them" };
  return {
    problem: `holds no settings of a known program, but other texts: ${[...texts.keys()].join(", ")}`,
  };
}

type Json = Readonly<Record<string, unknown>>;

const isObject = (value: unknown): value is Json => typeof value === "object" && value !== null;
const textIn = (from: Json, key: string) => (typeof from[key] === "string" ? from[key] : undefined);
const numberIn = (from: Json, key: string) => (Number.isFinite(from[key]) ? Number(from[key]) : undefined);

function fromRecord(json: string): ReadSettings | undefined {
  const record = parsed(json);
  const prompt = isObject(record) ? textIn(record, "prompt") : undefined;
  if (!isObject(record) || prompt === undefined) return undefined;
  const { model, scheduler } = record;
  const className = isObject(scheduler) ? textIn(scheduler, "className") : undefined;
  const config = isObject(scheduler) && isObject(scheduler.config) ? scheduler.config : {};
  const seed = textIn(record, "seed");
  return present({
    prompt,
    negativePrompt: textIn(record, "negativePrompt"),
    model: isObject(model) ? (textIn(model, "id") ?? textIn(model, "name")) : undefined,
    width: numberIn(record, "width"),
    height: numberIn(record, "height"),
    steps: numberIn(record, "numInferenceSteps"),
    guidanceScale: numberIn(record, "guidanceScale"),
    seed: seed !== undefined && isSeed(seed) ? seed : undefined,
    scheduler: className === undefined ? undefined : (shortNameOf(className, config) ?? className),
    strength: numberIn(record, "strength"),
    lora: isObject(model) ? lorasIn(model.loras) : undefined,
  });
}

/** A record names files; a server names LoRAs by them, without the extension. */
function lorasIn(value: unknown): ReadSettings["lora"] {
  if (!Array.isArray(value)) return undefined;
  return value.filter(isObject).flatMap((lora) => {
    const [name, scale] = [textIn(lora, "name"), numberIn(lora, "scale")];
    return name === undefined ? [] : [{ name: name.replace(/\.safetensors$/, ""), scale: scale ?? 1 }];
  });
}

function fromProgram({ program, parameters, problem }: Found): ReadSettings {
  const { prompt, negativePrompt, steps, guidanceScale, seed, size, scheduler, model, strength, ...told } =
    programSettings(parameters);
  const name = scheduler && shortNameOf(scheduler.className, scheduler.overrides);
  // A short name may say less than the file, as of the spacing of timesteps.
  const said = name === undefined ? {} : shortNames[name]!.overrides;
  const unsaid = Object.keys(scheduler?.overrides ?? {}).some((key) => !Object.hasOwn(said, key));
  const left = [...told.left, ...(unsaid ? ["Schedule type"] : [])];
  const some = (names: readonly string[]) => names.slice(0, 12).join(", ");
  return present({
    prompt: problem === undefined ? prompt : undefined,
    negativePrompt,
    model,
    ...size,
    steps,
    guidanceScale,
    seed: seed?.toString(),
    scheduler: name,
    strength,
    notes: [
      `Made by ${program}: the image will be similar at best.`,
      ...(problem === undefined ? [] : [`The prompt could not be read: ${problem}.`]),
      ...(left.length > 0 ? [`Not taken over: ${some(left)}.`] : []),
      ...(told.missing.length > 0 ? [`Not in the file: ${some(told.missing)}.`] : []),
    ],
  });
}

function parsed(json: string): unknown {
  try {
    return JSON.parse(json);
  } catch {
    return undefined;
  }
}

type Optional = { [K in keyof ReadSettings]: ReadSettings[K] | undefined };

const present = (found: Optional): ReadSettings =>
  Object.fromEntries(Object.entries(found).filter(([, value]) => value !== undefined)) as ReadSettings;
