/** @file The paths at which models and files were seen on this machine, by fingerprint: images name them without a path. */

import { homedir } from "node:os";
import path from "node:path";
import { z } from "zod";
import { FileError } from "../errors.js";
import { ifThere, kindOf, readFile, writeWhole } from "../files/file-system.js";

type Environment = Readonly<Record<string, string | undefined>>;

const schema = z.object({ format: z.literal(1), seen: z.record(z.string(), z.array(z.string())) });

const mostPaths = 8;
const mostFingerprints = 2000;

/** $XDG_CACHE_HOME/koala/models.json, or the same in ~/.cache. */
export const registryFile = (environment: Environment = process.env): string =>
  path.join(environment.XDG_CACHE_HOME || path.join(homedir(), ".cache"), "koala", "models.json");

/** The paths at which this fingerprint was seen and which still exist, the latest first. */
export async function pathsOf(fingerprint: string, file = registryFile()): Promise<string[]> {
  const paths = (await seen(file)).get(fingerprint) ?? [];
  const kinds = await Promise.all(paths.map((one) => kindOf(one).catch(() => undefined)));
  return paths.filter((_, i) => kinds[i] !== undefined);
}

/**
 * Adds paths by fingerprint. Two commands that do so at once may lose one's: it is added when next seen. Returns what
 * the system refused where the file cannot be read or written, since an image is no worse for it.
 */
export async function remember(
  paths: Iterable<readonly [fingerprint: string, path: string]>,
  file = registryFile(),
): Promise<FileError | undefined> {
  try {
    await add(paths, file);
    return undefined;
  } catch (error) {
    if (error instanceof FileError) return error;
    throw error;
  }
}

async function add(paths: Iterable<readonly [string, string]>, file: string): Promise<void> {
  const known = await seen(file);
  let changed = false;
  for (const [fingerprint, seenAt] of paths) {
    const at = path.resolve(seenAt);
    const before = known.get(fingerprint) ?? [];
    if (before[0] === at) continue;
    changed = true;
    known.delete(fingerprint); // so that the latest are at the end
    known.set(fingerprint, [at, ...before.filter((other) => other !== at)].slice(0, mostPaths));
  }
  if (!changed) return;
  const kept = Object.fromEntries([...known].slice(-mostFingerprints));
  await writeWhole(file, `${JSON.stringify({ format: 1, seen: kept }, undefined, 1)}\n`);
}

/** What the file holds; nothing where it is absent or no registry, since all of it can be seen again. */
async function seen(file: string): Promise<Map<string, string[]>> {
  const text = await ifThere(() => readFile(file, "utf8"));
  if (text === undefined) return new Map();
  try {
    return new Map(Object.entries(schema.parse(JSON.parse(text)).seen));
  } catch (error) {
    if (error instanceof SyntaxError || error instanceof z.ZodError) return new Map();
    throw error;
  }
}
