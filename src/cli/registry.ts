/** @file Where models and files were seen on this machine, by fingerprint: pictures name them without a path. */

import { mkdir, readFile } from "node:fs/promises";
import { homedir } from "node:os";
import path from "node:path";
import { z } from "zod";
import { kindOf, systemCode, writeAll, writeBeside } from "../weights/files.js";

type Environment = Readonly<Record<string, string | undefined>>;

const schema = z.object({ format: z.literal(1), seen: z.record(z.string(), z.array(z.string())) });

const mostPlaces = 8;
const mostFingerprints = 2000;

/** $XDG_CACHE_HOME/koala/models.json, or the same in ~/.cache. */
export const registryFile = (environment: Environment = process.env): string =>
  path.join(environment.XDG_CACHE_HOME || path.join(homedir(), ".cache"), "koala", "models.json");

/** The places where something with this fingerprint was seen and something still is, the latest first. */
export async function placesOf(fingerprint: string, file = registryFile()): Promise<string[]> {
  const places = (await seen(file)).get(fingerprint) ?? [];
  const kinds = await Promise.all(places.map(kindOf));
  return places.filter((_, i) => kinds[i] !== undefined);
}

/**
 * Adds places by fingerprint. Two commands that do so at once may lose one's: it is added when next seen. Gives the
 * system's code where the file cannot be written, since a picture is no worse for it.
 */
export async function remember(
  places: Iterable<readonly [fingerprint: string, place: string]>,
  file = registryFile(),
): Promise<string | undefined> {
  const known = await seen(file);
  let changed = false;
  for (const [fingerprint, place] of places) {
    const at = path.resolve(place);
    const before = known.get(fingerprint) ?? [];
    if (before[0] === at) continue;
    changed = true;
    known.delete(fingerprint); // so that the latest are at the end
    known.set(fingerprint, [at, ...before.filter((other) => other !== at)].slice(0, mostPlaces));
  }
  if (!changed) return undefined;
  const kept = Object.fromEntries([...known].slice(-mostFingerprints));
  const bytes = Buffer.from(`${JSON.stringify({ format: 1, seen: kept }, undefined, 1)}\n`);
  try {
    await mkdir(path.dirname(file), { recursive: true });
    await writeBeside(file, (handle) => writeAll(handle, bytes));
    return undefined;
  } catch (error) {
    const code = systemCode(error);
    if (code) return code;
    throw error;
  }
}

/** What the file holds; nothing where it is absent or no registry, since all of it can be seen again. */
async function seen(file: string): Promise<Map<string, string[]>> {
  try {
    return new Map(Object.entries(schema.parse(JSON.parse(await readFile(file, "utf8"))).seen));
  } catch (error) {
    if (systemCode(error) || error instanceof SyntaxError || error instanceof z.ZodError) return new Map();
    throw error;
  }
}
