/** @file Reads the settings of InvokeAI before version 3: `sd-metadata`, and before that a command, `Dream`. Pure. */

import type { Parameters } from "../parameters.js";
import { at, isObject, type Json, present, scalar, textOf } from "./json.js";

/** `"a cat [dog]" -s 50 -S 1 -W 512 -H 512 -C 7.5 -A k_lms`, its negative prompt in brackets. */
export function fromDream(text: string): Parameters | undefined {
  const end = text.lastIndexOf('"');
  if (!text.startsWith('"') || end < 1) return undefined;
  const options = new Map<string, string>();
  const words = text.slice(end + 1).split(/\s+/);
  for (const [i, word] of words.entries()) {
    const value = words[i + 1];
    if (/^-[A-Za-z]\w*$/.test(word) && value !== undefined && value !== "") options.set(word, value);
  }
  return { ...prompts(text.slice(1, end)), fields: labelled(options) };
}

const labels: Readonly<Record<string, string>> = {
  "-s": "Steps",
  "-A": "Sampler",
  "-C": "CFG scale",
  "-S": "Seed",
};

function labelled(options: ReadonlyMap<string, string>): Map<string, string> {
  const [width, height] = [options.get("-W"), options.get("-H")];
  const fields = new Map<string, string>();
  if (width !== undefined && height !== undefined) fields.set("Size", `${width}x${height}`);
  for (const [option, value] of options)
    if (option !== "-W" && option !== "-H") fields.set(labels[option] ?? option, value);
  return fields;
}

/** Of version 2: the settings are below `image`, whose prompt may be a list of texts with weights. */
export function fromSdMetadata(object: Json): Parameters | undefined {
  const { image } = object;
  if (!isObject(image) || !String(object.app_id).includes("InvokeAI")) return undefined;
  const list = Array.isArray(image.prompt) ? image.prompt : [image.prompt];
  const texts = list.map((part) => textOf(part) ?? textOf(at(part, "prompt")));
  const fields = present({
    Steps: scalar(image.steps),
    Sampler: scalar(image.sampler),
    "CFG scale": scalar(image.cfg_scale),
    Seed: scalar(image.seed),
    Size: `${scalar(image.width)}x${scalar(image.height)}`,
    Model: scalar(object.model_weights) ?? scalar(object.model_id),
  });
  const rest = ["threshold", "perlin", "seamless", "hires_fix", "variations", "postprocessing"];
  const left = rest.filter((name) => isSet(image[name])).map((name) => [name, "set"] as const);
  const weighted = texts.length > 1 ? [["prompt weights", String(texts.length)] as const] : [];
  const text = texts.filter((part) => part !== undefined).join(", ");
  return { ...prompts(text), fields: new Map([...fields, ...left, ...weighted]) };
}

const isSet = (value: unknown): boolean => (Array.isArray(value) ? value.length > 0 : Boolean(value));

/** All that is in brackets is the negative prompt. */
function prompts(text: string): Pick<Parameters, "prompt" | "negativePrompt"> {
  const negative: string[] = [];
  const prompt = text.replace(/\[([^[\]]*)\]/g, (_, inner: string) => {
    negative.push(inner.trim());
    return "";
  });
  return { prompt: prompt.trim(), negativePrompt: negative.length > 0 ? negative.join(", ") : undefined };
}
