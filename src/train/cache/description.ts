/** @file `cache.json`: what a cache holds and what made it. Claims a folder for a cache, or refuses it. */

import path from "node:path";
import { z } from "zod";
import { InvalidRequest, listed, ModelError } from "../../errors.js";
import { kindOf, makeFolder, readdir, readJson, rm, writeWhole } from "../../files/file-system.js";
import { parseConfig } from "../../models/config.js";
import { damagedFile } from "../damaged-file.js";
import { differences } from "./fingerprint.js";

const whole = z.int("must be a whole number above 0").positive("must be a whole number above 0");

const schema = z.strictObject({
  version: z.literal(2, "must be 2, the form of cache that this version reads"),
  /** `AutoencoderKL` gives moments (mean and log-variance), `AutoencoderTiny` latents; neither is scaled here. */
  encodes: z.enum(["moments", "latents"], 'must be "moments" or "latents"'),
  latentChannels: whole,
  /** Latents are multiplied by it when they are read. */
  scalingFactor: z.number("must be a number above 0").positive("must be a number above 0"),
  /** Pixels per latent pixel. */
  factor: whole,
  dtype: z.enum(["float32", "float16"], 'must be "float32" or "float16"'),
  madeBy: z.record(z.string(), z.string(), "must be an object of texts"),
});

export type CacheDescription = z.output<typeof schema>;

const fileName = "cache.json";

/** Reads `cache.json`; ModelError, or InvalidRequest where there is none. */
export async function readDescription(folder: string): Promise<CacheDescription> {
  const file = path.join(folder, fileName);
  if ((await kindOf(file)) === undefined) {
    throw new InvalidRequest(
      "cacheFolder",
      folder,
      `must be a cache folder, got "${folder}" without ${fileName}.`,
    );
  }
  const json = await readJson(file);
  if (json.version === 1) {
    const rule = "version: must be 2, whose images are known by their bytes, got 1.";
    throw new ModelError(file, `${rule} Delete the folder and run again: the data is encoded anew.`);
  }
  return parseConfig(schema, json, file);
}

/**
 * Makes the folder a cache of that description, or checks that it is one; clears what a killed run left half
 * written. InvalidRequest says what differs.
 */
export async function claimFolder(folder: string, now: CacheDescription): Promise<void> {
  if ((await kindOf(folder)) === "file") {
    throw new InvalidRequest("cacheFolder", folder, `must be a folder, got the file "${folder}".`);
  }
  await makeFolder(folder);
  const names = await readdir(folder);
  if (!names.includes(fileName)) return describeNew(folder, names, now);
  const { madeBy, ...form } = await readDescription(folder);
  const { madeBy: madeNow, ...formNow } = now;
  const found = differences(madeBy, madeNow);
  if (found.length > 0 || JSON.stringify(form) !== JSON.stringify(formNow)) {
    const rule = "must have been made from the same models, data and settings";
    const got = `got "${folder}", made with ${found.join(", ") || "another autoencoder"}`;
    const remedy = "Choose another cacheFolder, or delete this one.";
    throw new InvalidRequest("cacheFolder", folder, `${rule}, ${got}. ${remedy}`);
  }
  await clear(folder, names);
}

async function describeNew(folder: string, names: readonly string[], now: CacheDescription): Promise<void> {
  const foreign = names.filter((name) => !halfWritten.test(name));
  if (foreign.length > 0) {
    const rule = `must be a cache or an empty folder, got "${folder}" with ${listed(foreign)}.`;
    throw new InvalidRequest("cacheFolder", folder, `${rule} Choose another cacheFolder.`);
  }
  await clear(folder, names);
  const text = `${JSON.stringify(now, undefined, 2)}\n`;
  await writeWhole(path.join(folder, fileName), text);
}

const halfWritten = /^(cache\.json|index\.jsonl|(text|images)-\w+\.safetensors)\.[-0-9a-f]{36}\.partial$/;

async function clear(folder: string, names: readonly string[]): Promise<void> {
  for (const name of names) if (halfWritten.test(name)) await rm(path.join(folder, name), { force: true });
}

/** What a broken file of the cache calls for: the next run makes again what it held. The system's errors stay. */
export function damaged(file: string, error: unknown): ModelError {
  return damagedFile(file, error, "Delete this file and run again: what it held is encoded anew.");
}
