/** @file The LoRAs that a prompt names: finds their files in a folder, and opens a model with them. */

import { closest } from "../closest.js";
import { InvalidRequest, listed } from "../errors.js";
import { kindOf, readdir } from "../files/file-system.js";
import path from "../files/path.js";
import type { LoraTag } from "../text/a1111/extra-networks.js";
import type { Lora } from "./lora.js";

/** Folders inside folders that are looked into. */
const mostDepth = 4;

/**
 * The files of the LoRAs that prompts name, `<lora:NAME:0.8>`, which is NAME.safetensors in `folder` or a folder inside it.
 * InvalidRequest names the folder and the names near one that is unknown.
 */
export async function filesOfTags(
  tags: readonly LoraTag[],
  folder: string | undefined,
): Promise<Required<Lora>[]> {
  const [first] = tags;
  if (first === undefined) return [];
  if (folder === undefined) {
    const rule = `names the LoRA "${first.name}", but no folder of LoRAs was given. Give loraFolder (--lora-folder).`;
    throw new InvalidRequest("prompt", first.name, rule);
  }
  const files = await loraFiles(folder);
  return tags.map(({ name, scale }) => {
    const file = files.get(name);
    if (file !== undefined) return { file, scale };
    throw new InvalidRequest("prompt", name, unknownLora(name, [...files.keys()], folder));
  });
}

/** What must hold of a LoRA's name in a prompt; `where` they are. */
export function unknownLora(name: string, known: readonly string[], where: string): string {
  const near = closest(name, known);
  const begins = known.filter((one) => one.toLowerCase().includes(name.toLowerCase().slice(0, 4)));
  const nearest = [...new Set([...(near === undefined ? [] : [near]), ...begins])].slice(0, 5);
  const hint = nearest.length > 0 ? `Nearest: ${listed(nearest)}.` : `It has ${listed(known, 10) || "none"}.`;
  return `must name a LoRA of ${where}, got "${name}". ${hint}`;
}

async function loraFiles(folder: string): Promise<Map<string, string>> {
  if ((await kindOf(folder)) !== "folder") {
    const rule = `must be a folder of .safetensors files, got ${folder}. Is it the right one?`;
    throw new InvalidRequest("loraFolder", folder, rule);
  }
  const found = new Map<string, string>();
  let level = [folder];
  for (let depth = 0; depth <= mostDepth && level.length > 0; depth++) {
    const inside: string[] = [];
    for (const one of level) {
      for (const entry of (await readdir(one)).sort()) {
        const at = path.join(one, entry);
        const { name, ext } = path.parse(entry);
        if (ext === ".safetensors" && !found.has(name)) found.set(name, at);
        else if (ext === "" && (await kindOf(at)) === "folder") inside.push(at);
      }
    }
    level = inside;
  }
  return found;
}
