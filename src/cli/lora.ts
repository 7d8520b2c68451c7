/** @file `--lora FILE[:SCALE]`, which may be given several times. FILE may be a name on the Hub. */

import { InvalidArgumentError } from "commander";
import type { Lora } from "../pipeline/lora.js";
import { partName } from "../pipeline/provenance.js";

/** Adds one value of the option. What follows the last colon is the scale if it is a number; else the name goes on. */
export function loraOption(value: string, before: readonly Required<Lora>[] = []): Required<Lora>[] {
  const [, file, scale] = /^(.+):([+-]?(?:\d+\.?\d*|\.\d+))$/.exec(value) ?? [];
  if (file !== undefined) return [...before, { file, scale: Number(scale) }];
  const [, wrong] = /\.safetensors:([^/\\:]*)$/.exec(value) ?? [];
  if (wrong !== undefined) throw new InvalidArgumentError(`"${wrong}" is not a number. Write FILE:0.8.`);
  return [...before, { file: value, scale: 1 }];
}

/** How the LoRAs are reported: never by a local path. */
export const lorasUsed = (loras: readonly Required<Lora>[]): Required<Lora>[] =>
  loras.map(({ file, scale }) => ({ file: partName(file), scale }));
