/** @file Reads generation settings from image files, of this program and others, into values for the form. */

import { shortNameOf, shortNames } from "../../src/diffusion/schedulers/sampler-names.js";
import { isSeed } from "../../src/diffusion/seed.js";
import { fileTexts, metadataKeyword } from "../../src/image/metadata/file-texts.js";
import type { FoundSettings } from "../../src/image/metadata/programs/found-settings.js";
import { settingsIn } from "../../src/image/metadata/programs/programs.js";
import { programSettings } from "../../src/pipeline/metadata/program-settings.js";
import {
  defaultLongPrompts,
  type LongPrompts,
  longPromptRules,
  type PromptSyntax,
} from "../../src/text/prompt-rules.js";

export type ReadSettings = {
  /** Absent if the prompt could not be read from the file. */
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
  promptSyntax?: PromptSyntax;
  longPrompts?: LongPrompts;
  padConditions?: boolean;
  emphasis?: string;
  /** Sentences on settings of another program that the form does not have. */
  notes?: readonly string[];
};

/** `problem` continues a sentence that begins with the name of the file. */
export type Reading = { settings: ReadSettings } | { problem: string };

/** Our own metadata takes precedence over the settings of other programs. */
export async function readImageSettings(bytes: Uint8Array): Promise<Reading> {
  const texts = await fileTexts(bytes);
  if (!texts) return { problem: "is not a PNG, JPEG or WebP file" };
  const record = texts.get(metadataKeyword);
  const own = record === undefined ? undefined : fromRecord(record);
  if (own) return { settings: own };
  const found = settingsIn(texts);
  if (found && found.parameters.fields.size > 0) return { settings: fromProgram(found) };
  if (found)
    return { problem: `contains settings of ${found.program} that cannot be used: ${found.problem}` };
  if (texts.size === 0) return { problem: "contains no settings. Many websites and messengers remove them" };
  return {
    problem: `contains no settings of a known program, only other texts: ${[...texts.keys()].join(", ")}`,
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
  const promptSyntax = record.promptSyntax === "a1111" ? "a1111" : "none";
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
    promptSyntax,
    longPrompts:
      longPromptRules.find((rule) => rule === record.longPrompts) ?? defaultLongPrompts(promptSyntax),
    padConditions: record.padConditions === true ? true : undefined,
    notes: placeNote(textIn(record, "device"), textIn(record, "dtype"), textIn(record, "weights")),
    emphasis: textIn(record, "emphasis"),
  });
}

/** A request says nothing about the device, which is the server's. */
function placeNote(device = "cpu", dtype = "float32", weights = "stored"): readonly string[] | undefined {
  if (device === "cpu" && dtype === "float32" && weights === "stored") return undefined;
  const held = weights === "stored" ? "" : ` with ${weights} weights`;
  const place = `${device} in ${dtype}${held}`.slice(0, 60).replace(/\p{C}/gu, "?");
  return [`Generated on ${place}: on another device, expect a similar image, not the same one.`];
}

/** Metadata contains file names; servers name LoRAs without the extension. */
function lorasIn(value: unknown): ReadSettings["lora"] {
  if (!Array.isArray(value)) return undefined;
  return value.filter(isObject).flatMap((lora) => {
    const [name, scale] = [textIn(lora, "name"), numberIn(lora, "scale")];
    return name === undefined ? [] : [{ name: name.replace(/\.safetensors$/, ""), scale: scale ?? 1 }];
  });
}

function fromProgram({ program, parameters, problem }: FoundSettings): ReadSettings {
  const { prompt, negativePrompt, steps, guidanceScale, seed, size, scheduler, model, strength, ...others } =
    programSettings(parameters);
  const name = scheduler && shortNameOf(scheduler.className, scheduler.overrides);
  // A short name may not cover all overrides in the file, such as the timestep spacing.
  const covered = name === undefined ? {} : shortNames[name]!.overrides;
  const uncovered = Object.keys(scheduler?.overrides ?? {}).some((key) => !Object.hasOwn(covered, key));
  const left = [...others.left, ...(uncovered ? ["Schedule type"] : [])];
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
    // Most of them have A1111's weights; the others' have no syntax that it would read.
    promptSyntax: "a1111",
    notes: [
      `Made with ${program}: expect a similar image, not the same one.`,
      ...(problem === undefined ? [] : [`The prompt could not be read: ${problem}.`]),
      ...(left.length > 0 ? [`Not applied: ${some(left)}.`] : []),
      ...(others.missing.length > 0 ? [`Not in the file: ${some(others.missing)}.`] : []),
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
