/**
 * @file `--lora FILE[:SCALE]`, and `--lora NAME=FILE[:SCALE]` of a server; both may be given several times. FILE may be a
 * name on the Hub.
 */

import path from "node:path";
import { InvalidArgumentError } from "commander";
import { InvalidRequest } from "../errors.js";
import { kindOf, readdir } from "../files/file-system.js";
import type { NamedLora } from "../jobs/model-registry.js";
import type { Lora } from "../pipeline/lora.js";
import { componentName } from "../pipeline/metadata/write.js";
import { downloadComponents } from "./models.js";

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
  loras.map(({ file, scale }) => ({ file: componentName(file), scale }));

/** One value of a server's option: a file or a folder, and the name and scale where they are given. */
export type ServedLora = Required<Lora> & { name: string | undefined };

/** Adds one value. A path that holds "=" is distinguished from a name by a separator before it, as in "./a=b.safetensors". */
export function servedLoraOption(value: string, before: readonly ServedLora[]): ServedLora[] {
  const [, name, rest = value] = /^([^=/\\]+)=(.+)$/.exec(value) ?? [];
  return [...before, { name, ...loraOption(rest)[0]! }];
}

/** With a name each: the given one, or the file's; InvalidRequest for names that requests cannot have. */
export async function namedLoras(given: readonly ServedLora[]): Promise<NamedLora[]> {
  const named = (await Promise.all(given.map(inFolder))).flat();
  for (const [i, { name, file }] of named.entries()) {
    // These separate a LoRA's name from the rest in A1111's prompts.
    if (/[<>:]/.test(name) || name.length > 200) {
      const rule = `must have a name without < > and :, got ${JSON.stringify(name)}`;
      throw new InvalidRequest("--lora", name, `${rule}. Write NAME=${file}.`);
    }
    if (named.findIndex((other) => other.name === name) === i) continue;
    const rule = `must have names of their own, got "${name}" twice`;
    throw new InvalidRequest("--lora", name, `${rule}. Write NAME=${file}.`);
  }
  return named;
}

async function inFolder({ name, file, scale }: ServedLora): Promise<NamedLora[]> {
  if ((await kindOf(file)) !== "folder") {
    const { lora } = await downloadComponents({ lora: [{ file, scale }] });
    return [{ name: name ?? path.parse(file).name, file: lora![0]!.file, scale }];
  }
  if (name !== undefined) {
    const rule = `must be a file if it has a name, got the folder ${file}`;
    throw new InvalidRequest("--lora", file, `${rule}. Leave "${name}=" out: each file is named by itself.`);
  }
  const files = (await readdir(file)).filter((entry) => entry.endsWith(".safetensors")).sort();
  if (files.length === 0) {
    const rule = `must be a folder with .safetensors files, got ${file}`;
    throw new InvalidRequest("--lora", file, `${rule}. Is it the right one?`);
  }
  return files.map((entry) => ({ name: path.parse(entry).name, file: path.join(file, entry), scale }));
}
