/** @file What made a cache, as short texts that can be compared: networks by config and weights, data, settings. */

import { createHash } from "node:crypto";
import { readdir } from "node:fs/promises";
import path from "node:path";
import type { Components } from "../../pipeline/load.js";
import type { WeightSet } from "../../weights/component.js";
import { readExactly, reading, readText } from "../../weights/files.js";

/** Texts by what they tell of; those that begin with `hashMark` mean nothing to a reader. */
export type Fingerprint = Readonly<Record<string, string>>;

export const hashMark = "sha256:";

const samples = 16;
const sampleBytes = 16_384;

/** Identifies the autoencoder, the text encoders and their tokenizers without reading all of their weights. */
export async function networkFingerprint({
  folder,
  vae,
  textEncoders,
}: Components): Promise<Record<string, string>> {
  const found: Record<string, string> = { pipeline: folder.className };
  found.vae = hash([vae.config, await weightsOf(vae.part.weights)]);
  for (const { part, config } of textEncoders) {
    found[part.name] = hash([config, await weightsOf(part.weights)]);
    const tokenizer = part.name.replace("text_encoder", "tokenizer");
    found[tokenizer] = hash(await texts(folder.part(tokenizer).path));
  }
  return found;
}

/** What differs, for a sentence: `resolution 512 (now 1024)`, `another vae`. */
export function differences(there: Fingerprint, now: Fingerprint): string[] {
  const names = [...new Set([...Object.keys(there), ...Object.keys(now)])];
  return names
    .filter((name) => there[name] !== now[name])
    .map((name) => {
      const [was, is] = [there[name] ?? "none", now[name] ?? "none"];
      return was.startsWith(hashMark) && is.startsWith(hashMark)
        ? `another ${name}`
        : `${name} ${was} (now ${is})`;
    });
}

/** The tensors' names, types and shapes, and of each file its size and bytes from places spread over it. */
async function weightsOf({ tensors, files }: WeightSet): Promise<unknown> {
  const layout = [...tensors].map(([name, { dtype, shape }]) => [name, dtype, shape]);
  const spread: unknown[] = [];
  for (const file of files) {
    spread.push(
      await reading(file, file, async (handle) => {
        const { size } = await handle.stat();
        const length = Math.min(sampleBytes, size);
        const parts = createHash("sha256");
        for (let i = 0; i < samples; i++) {
          const offset = Math.floor(((size - length) * i) / (samples - 1));
          parts.update(await readExactly(handle, file, offset, length));
        }
        return [size, parts.digest("hex")];
      }),
    );
  }
  return [layout, spread];
}

async function texts(folder: string): Promise<unknown> {
  const names = (await readdir(folder)).filter((name) => /^[^.].*\.(json|txt)$/.test(name)).sort();
  return Promise.all(names.map(async (name) => [name, await readText(path.join(folder, name))]));
}

const hash = (value: unknown) =>
  `${hashMark}${createHash("sha256").update(JSON.stringify(value)).digest("hex")}`;
