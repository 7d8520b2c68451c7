/** @file What a picture file says of its making, as far as the page's form can hold it. */

import { shortNameOf } from "../../src/diffusion/scheduler-short-names.js";
import { webuiScheduler } from "../../src/diffusion/webui-names.js";
import { parseParameters } from "../../src/image/metadata-parameters.js";
import { isPng, pngTexts } from "../../src/image/png-texts.js";

export type ReadSettings = {
  prompt: string;
  negativePrompt?: string;
  model?: string;
  width?: number;
  height?: number;
  steps?: number;
  guidanceScale?: number;
  seed?: string;
  scheduler?: string;
  strength?: number;
};

/** Undefined where the file is no PNG or says nothing. Our record counts before the text of other programs. */
export function settingsIn(bytes: Uint8Array): ReadSettings | undefined {
  if (!isPng(bytes)) return undefined;
  const texts = pngTexts(bytes);
  const [record, parameters] = [texts.get("koala"), texts.get("parameters")];
  const own = record === undefined ? undefined : fromRecord(record);
  return own ?? (parameters === undefined ? undefined : fromParameters(parameters));
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
  return present({
    prompt,
    negativePrompt: textIn(record, "negativePrompt"),
    model: isObject(model) ? (textIn(model, "id") ?? textIn(model, "name")) : undefined,
    width: numberIn(record, "width"),
    height: numberIn(record, "height"),
    steps: numberIn(record, "numInferenceSteps"),
    guidanceScale: numberIn(record, "guidanceScale"),
    seed: wholeNumber(textIn(record, "seed")),
    scheduler: className === undefined ? undefined : (shortNameOf(className, config) ?? className),
    strength: numberIn(record, "strength"),
  });
}

function fromParameters(text: string): ReadSettings | undefined {
  const { prompt, negativePrompt, fields } = parseParameters(text);
  if (fields.size === 0) return undefined;
  const [, width, height] = /^(\d{1,4})x(\d{1,4})$/.exec(fields.get("Size") ?? "") ?? [];
  const sampler = webuiScheduler(fields.get("Sampler") ?? "", fields.get("Schedule type"));
  const real = (name: string) => {
    const value = Number(fields.get(name) ?? Number.NaN);
    return Number.isFinite(value) && value > 0 ? value : undefined;
  };
  return present({
    prompt,
    negativePrompt,
    model: fields.get("Model"),
    width: width === undefined ? undefined : Number(width),
    height: height === undefined ? undefined : Number(height),
    steps: real("Steps"),
    guidanceScale: real("CFG scale"),
    seed: wholeNumber(fields.get("Seed")),
    scheduler: sampler && shortNameOf(sampler.className, sampler.overrides),
    strength: real("Denoising strength"),
  });
}

const wholeNumber = (text: string | undefined) =>
  text !== undefined && /^\d{1,19}$/.test(text) ? text : undefined;

function parsed(json: string): unknown {
  try {
    return JSON.parse(json);
  } catch {
    return undefined;
  }
}

type Found = { [K in keyof ReadSettings]: ReadSettings[K] | undefined } & { prompt: string };

const present = (found: Found): ReadSettings =>
  Object.fromEntries(Object.entries(found).filter(([, value]) => value !== undefined)) as ReadSettings;
