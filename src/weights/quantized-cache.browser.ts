/**
 * @file The cache of quantised weights in a browser's storage, for the next visit. The files that were made first are
 * removed where there are too many.
 */

import { InvalidRequest } from "../errors.js";
import { kindOf } from "../files/file-system.js";
import { mountStoredFolder, type StoredFolder } from "../files/stored-folder.browser.js";
import { weightsOfFile } from "./component.js";
import { openSafetensors } from "./safetensors-file.js";
import type { WeightSet } from "./weight-set.js";

const [mountedAt, storedAs] = ["/quantized-weights", "koala-diffusion-weights"];
/** Bytes that the cache may take before the oldest go: an SDXL, or two models of KOALA's. */
const mostCacheBytes = 6e9;

let folder: Promise<StoredFolder | undefined> | undefined;

/** The weights of a file of the cache, which `write` makes if it is not there. */
export async function cachedWeights(
  name: string,
  write: (file: string) => Promise<void>,
): Promise<WeightSet> {
  folder ??= mountStoredFolder(mountedAt, storedAs);
  const stored = await folder;
  if (!stored) {
    const rule = "must be stored where a browser keeps no files for this page (OPFS), got int8";
    throw new InvalidRequest("weights", "int8", `${rule}. Leave it out, or reach the page by https.`);
  }
  const file = `${mountedAt}/${name}.safetensors`;
  if ((await kindOf(file)) === undefined) {
    await write(file);
    await removeOldest(stored, `${name}.safetensors`);
  }
  return weightsOfFile(await openSafetensors(file));
}

async function removeOldest(stored: StoredFolder, except: string): Promise<void> {
  const files = (await stored.files()).sort((a, b) => b.written - a.written);
  let total = 0;
  for (const { name, bytes } of files) {
    total += bytes;
    if (total > mostCacheBytes && name !== except) await stored.remove(name);
  }
}
