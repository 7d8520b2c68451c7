/** @file Tells networks apart without reading all of their weights, and files by all of their bytes. */

import { createHash } from "node:crypto";
import path from "node:path";
import { readdir, readExactly, reading, readText, realFile } from "../files/file-system.js";
import type { WeightSet } from "./component.js";

/** What every hash here begins with. */
export const hashMark = "sha256:";

const samples = 16;
const sampleBytes = 16_384;

/** A hash of JSON. */
export const hashOf = (value: unknown): string =>
  `${hashMark}${createHash("sha256").update(JSON.stringify(value)).digest("hex")}`;

/**
 * The tensors' names, types and shapes, and of each file its size and bytes from places spread over it: fine-tuned
 * models share their headers with what they came from.
 */
export async function weightMarks({ tensors, files }: WeightSet): Promise<unknown> {
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

/** The JSON and text files of a folder, as a tokenizer has them. */
export async function textMarks(folder: string): Promise<unknown> {
  const names = (await readdir(folder)).filter((name) => /^[^.].*\.(json|txt)$/.test(name)).sort();
  return Promise.all(names.map(async (name) => [name, await readText(path.join(folder, name))]));
}

/** SHA-256 of a whole file; ModelError where it cannot be read. */
export async function fileHash(file: string): Promise<string> {
  const hash = createHash("sha256");
  await reading(file, await realFile(file), async (handle) => {
    for await (const part of handle.createReadStream({ autoClose: false })) hash.update(part as Uint8Array);
  });
  return `${hashMark}${hash.digest("hex")}`;
}

/** SHA-256 of bytes. */
export const bytesHash = (bytes: Uint8Array): string =>
  `${hashMark}${createHash("sha256").update(bytes).digest("hex")}`;
