/** @file What is found out about a folder before there is something to write, and names that nobody else has. */

import { randomUUID } from "node:crypto";
import path from "node:path";
import { described, systemCode } from "./file-errors.js";
import { kindOf, makeFolder, rm, rmdir, statfs, writeFile, writeWhole } from "./file-system.js";

/** A block of a disk: what is written into no file may fit on a full one. */
const probe = new Uint8Array(4096);

/** Writes into a folder, which is made if need be, and takes all of it away again; FileError where it cannot. */
export async function checkWritable(folder: string): Promise<void> {
  const place = path.resolve(folder);
  const file = path.join(place, `.${randomUUID()}.partial`);
  let missing: readonly string[] = [];
  try {
    missing = await missingAbove(place);
    await makeFolder(place);
    await writeFile(file, probe, { flag: "wx", flush: true });
  } catch (error) {
    throw described(error, "write", place);
  } finally {
    await rm(file, { force: true }).catch(() => undefined);
    // Only an empty folder goes, so one that another program has begun to use stays.
    for (const made of missing) await rmdir(made).catch(() => undefined);
  }
}

/** The folders that are not there, deepest first. */
async function missingAbove(folder: string): Promise<string[]> {
  const missing: string[] = [];
  for (let at = folder; (await kindOf(at)) === undefined; at = path.dirname(at)) missing.push(at);
  return missing;
}

/** Bytes that may be written where `folder` is or would be made; Infinity where the system does not say. */
export async function freeBytes(folder: string): Promise<number> {
  const place = path.resolve(folder);
  const missing = await missingAbove(place);
  const { bavail, bsize, blocks } = await statfs(missing.length ? path.dirname(missing.at(-1)!) : place);
  return blocks === 0 ? Number.POSITIVE_INFINITY : bavail * bsize;
}

/**
 * Writes to `file` or, where that is taken, to `name-2.ext`, `name-3.ext` and so on, and gives the name. Of two
 * processes that do so at once, each gets a name of its own, because the system makes a file for one of them alone.
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
