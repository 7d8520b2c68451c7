/** @file Fingerprints of networks by a sample of their weights, and hashes of whole files. */

import { readdir, readExactly, reading, readText, realFile } from "../files/file-system.js";
import { sha256 } from "../files/hash.js";
import path from "../files/path.js";
import type { WeightSet } from "./component.js";

/** The prefix of every hash. */
export const hashPrefix = "sha256:";

const samples = 16;
const sampleBytes = 16_384;

/** A hash of JSON. */
export const hashOf = (value: unknown): string => hashed(JSON.stringify(value));

function hashed(value: Uint8Array | string): string {
  const hash = sha256();
  hash.update(value);
  return `${hashPrefix}${hash.hex()}`;
}

/**
 * The tensors' names, types and shapes, and of each file its size and a hash of 16 evenly spaced samples: fine-tuned
 * models have the header of the model that they were trained from.
 */
export async function weightFingerprint({ tensors, files }: WeightSet): Promise<unknown> {
  const layout = [...tensors].map(([name, { dtype, shape }]) => [name, dtype, shape]);
  const spread: unknown[] = [];
  for (const file of files) {
    spread.push(
      await reading(file, file, async (handle) => {
        const { size } = await handle.stat();
        const length = Math.min(sampleBytes, size);
        const offsets = Array.from({ length: samples }, (_, i) =>
          Math.floor(((size - length) * i) / (samples - 1)),
        );
        const parts = sha256();
        // At once, since each is a request where files are read over HTTP.
        for (const part of await Promise.all(offsets.map((at) => readExactly(handle, file, at, length))))
          parts.update(part);
        return [size, parts.hex()];
      }),
    );
  }
  return [layout, spread];
}

/** The names and texts of a folder's JSON and text files, such as a tokenizer's. */
export async function textFingerprint(folder: string): Promise<unknown> {
  const names = (await readdir(folder)).filter((name) => /^[^.].*\.(json|txt)$/.test(name)).sort();
  return Promise.all(names.map(async (name) => [name, await readText(path.join(folder, name))]));
}

/** SHA-256 of a whole file; ModelError where it cannot be read. */
export async function fileHash(file: string): Promise<string> {
  const hash = sha256();
  await reading(file, await realFile(file), async (handle) => {
    for await (const part of handle.createReadStream({ autoClose: false })) hash.update(part as Uint8Array);
  });
  return `${hashPrefix}${hash.hex()}`;
}

/** SHA-256 of bytes. */
export const bytesHash = (bytes: Uint8Array): string => hashed(bytes);
