/** @file AUTOMATIC1111's tags of extra networks, "<lora:NAME:0.8>", which are taken out of a prompt. */

import { InvalidRequest } from "../../errors.js";

/** A LoRA that a prompt names. */
export type LoraTag = { name: string; scale: number };

const tag = /<(\w{1,100}):([^<>]{1,1000})>/g;

/**
 * The prompt without its tags, and the LoRAs they name; one that is named twice has the sum of its scales. InvalidRequest
 * for a tag of something else, and for separate scales of U-Net and text encoder.
 */
export function takeLoras(prompt: string, field = "prompt"): { text: string; loras: LoraTag[] } {
  const scales = new Map<string, number>();
  const text = prompt.replace(tag, (whole, kind: string, rest: string) => {
    if (kind !== "lora" && kind !== "lyco") {
      const rule = `"${kind}" is not supported, got ${whole.slice(0, 60)}. Of such tags only <lora:NAME:0.8> is.`;
      throw new InvalidRequest(field, whole, rule);
    }
    const { name, scale } = loraOf(rest, whole, field);
    scales.set(name, (scales.get(name) ?? 0) + scale);
    return "";
  });
  return { text, loras: [...scales].map(([name, scale]) => ({ name, scale })) };
}

/** "NAME", "NAME:0.8", "NAME:0.8:0.8", or with "te=" and "unet=" before the numbers. */
function loraOf(rest: string, whole: string, field: string): LoraTag {
  const [name = "", ...values] = rest.split(":");
  const positional = values.filter((value) => !value.includes("="));
  const named = new Map(values.flatMap((value) => (value.includes("=") ? [pair(value)] : [])));
  const encoder = named.get("te") ?? positional[0] ?? "1";
  const unet = named.get("unet") ?? positional[1] ?? encoder;
  const other = [...named.keys()].find((key) => key !== "te" && key !== "unet");
  if (other !== undefined || positional.length > 2)
    throw new InvalidRequest(field, whole, `must name a LoRA as <lora:NAME:0.8>, got ${whole.slice(0, 60)}.`);
  const scale = Number(unet);
  if (unet.trim() === "" || !Number.isFinite(scale) || !Number.isFinite(Number(encoder)))
    throw new InvalidRequest(
      field,
      whole,
      `the scale of a LoRA must be a number, got ${whole.slice(0, 60)}.`,
    );
  if (Number(encoder) === scale) return { name: name.trim(), scale };
  const rule = `a LoRA must have one scale for U-Net and text encoders, got ${whole.slice(0, 60)}. Give one.`;
  throw new InvalidRequest(field, whole, rule);
}

const pair = (value: string): [string, string] => {
  const at = value.indexOf("=");
  return [value.slice(0, at).trim(), value.slice(at + 1)];
};
