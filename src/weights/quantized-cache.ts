/**
 * @file The cache of quantised weights: safetensors files in the user's cache folder, each the weights of one network,
 * under a fingerprint of what they were made from. The least recently used are removed where there are too many.
 */

import { FileError, InvalidRequest } from "../errors.js";
import { cacheFolder } from "../files/cache-folder.js";
import { ifThere, makeFolder, readdir, rm, stat, unfinished, utimes } from "../files/file-system.js";
import path from "../files/path.js";
import { weightsOfFile } from "./component.js";
import { openSafetensors } from "./safetensors-file.js";
import type { WeightSet } from "./weight-set.js";

/** What a file of the cache says of itself. */
export type QuantizedFile = {
  file: string;
  bytes: number;
  lastUsed: Date;
  /** The network's name, `unet`, and the files that its weights are from. */
  network: string;
  sources: readonly string[];
};

/** Bytes that the cache may take before the oldest go. */
const mostCacheBytes = 20e9;
/** A file that a killed process left. */
const aDay = 24 * 3600 * 1000;

/** The folder of the cache; InvalidRequest where this user has none. */
export function quantizedFolder(folder: string | undefined = cacheFolder()): string {
  if (folder !== undefined) return path.join(folder, "weights");
  const rule = "must be stored where this user has no folder for the quantised weights, got int8";
  throw new InvalidRequest("weights", "int8", `${rule}. Set XDG_CACHE_HOME.`);
}

/**
 * The weights of a file of the cache, which `write` makes if it is not there. Two processes that make the same file at
 * once both succeed.
 */
export async function cachedWeights(
  name: string,
  write: (file: string) => Promise<void>,
  { folder = quantizedFolder(), most = mostCacheBytes }: { folder?: string; most?: number } = {},
): Promise<WeightSet> {
  const file = path.join(folder, `${name}.safetensors`);
  const known = await ifThere(() => stat(file));
  if (known) await touch(file);
  else {
    await makeFolder(folder);
    await write(file);
    await removeOldest(folder, { most, except: file });
  }
  return weightsOfFile(await openSafetensors(file));
}

/** That a file was used; a disk that cannot be written has no younger ones. */
const touch = (file: string) => utimes(file, new Date(), new Date()).catch(ignoreFileError);

/** The files of the cache, the last used first; none where there is no folder. */
export async function quantizedFiles(folder = quantizedFolder()): Promise<QuantizedFile[]> {
  const found = await Promise.all((await namesIn(folder)).filter((name) => !unfinished(name)).map(describe));
  return found.filter((one) => one !== undefined).sort((a, b) => b.lastUsed.getTime() - a.lastUsed.getTime());

  async function describe(name: string): Promise<QuantizedFile | undefined> {
    const file = path.join(folder, name);
    const found = await ifThere(() => stat(file));
    if (!found?.isFile()) return undefined;
    const { network = "", sources = "[]" } = (await openSafetensors(file)).metadata;
    return { file, bytes: found.size, lastUsed: found.mtime, network, sources: JSON.parse(sources) };
  }
}

const namesIn = async (folder: string) => (await ifThere(() => readdir(folder))) ?? [];

/** Removes all of the cache; returns the bytes that were freed. */
export async function removeQuantized(folder = quantizedFolder()): Promise<number> {
  const files = await quantizedFiles(folder);
  await rm(folder, { recursive: true, force: true });
  return files.reduce((sum, { bytes }) => sum + bytes, 0);
}

async function removeOldest(
  folder: string,
  { most, except }: { most: number; except: string },
): Promise<void> {
  for (const name of (await namesIn(folder)).filter(unfinished)) {
    const left = path.join(folder, name);
    const found = await ifThere(() => stat(left));
    if (found && Date.now() - found.mtimeMs > aDay) await rm(left, { force: true }).catch(ignoreFileError);
  }
  let total = 0;
  for (const { file, bytes } of await quantizedFiles(folder)) {
    total += bytes;
    // Where another process has it mapped, Windows keeps it.
    if (total > most && file !== except) await rm(file, { force: true }).catch(ignoreFileError);
  }
}

function ignoreFileError(error: unknown): void {
  if (!(error instanceof FileError)) throw error;
}
