/** @file Checks that a folder can be written before there is output, and writes files under names not yet taken. */

import { fileErrorAt, systemCode } from "./file-errors.js";
import { kindOf, makeFolder, rm, rmdir, statfs, writeFile, writeWhole } from "./file-system.js";
import path from "./path.js";

/** One block of a disk: an empty file may fit on a full one. */
const probe = new Uint8Array(4096);

/** Writes a file into a folder, which is made if it does not exist, and removes both; FileError where that fails. */
export async function checkWritable(folder: string): Promise<void> {
  const resolved = path.resolve(folder);
  const file = path.join(resolved, `.${crypto.randomUUID()}.partial`);
  let missing: readonly string[] = [];
  try {
    missing = await missingAbove(resolved);
    await makeFolder(resolved);
    await writeFile(file, probe, { flag: "wx", flush: true });
  } catch (error) {
    throw fileErrorAt(error, "write", resolved);
  } finally {
    await rm(file, { force: true }).catch(() => undefined);
    // Only empty folders are removed: not one that another program uses by now.
    for (const made of missing) await rmdir(made).catch(() => undefined);
  }
}

/** The folders that do not exist, deepest first. */
async function missingAbove(folder: string): Promise<string[]> {
  const missing: string[] = [];
  for (let at = folder; (await kindOf(at)) === undefined; at = path.dirname(at)) missing.push(at);
  return missing;
}

/** Free bytes of the disk of `folder`, which need not exist; Infinity where the system does not give it. */
export async function freeBytes(folder: string): Promise<number> {
  const resolved = path.resolve(folder);
  const missing = await missingAbove(resolved);
  const { bavail, bsize, blocks } = await statfs(missing.length ? path.dirname(missing.at(-1)!) : resolved);
  return blocks === 0 ? Number.POSITIVE_INFINITY : bavail * bsize;
}

/**
 * Writes to `file` or, where that exists, to `name-2.ext`, `name-3.ext` and so on, and returns the name. Two processes
 * at once get different names, since the file is created exclusively.
 */
export async function writeNew(file: string, bytes: Uint8Array): Promise<string> {
  const { dir, name, ext } = path.parse(file);
  for (let number = 1; ; number++) {
    const at = number === 1 ? file : path.join(dir, `${name}-${number}${ext}`);
    try {
      await writeFile(at, "", { flag: "wx" });
    } catch (error) {
      if (systemCode(error) === "EEXIST") continue;
      throw error;
    }
    try {
      await writeWhole(at, bytes);
      return at;
    } catch (error) {
      await rm(at, { force: true }).catch(() => undefined);
      throw error;
    }
  }
}
