/**
 * @file Golden folders that lie over an older one: where a path is found, and Diffusers folders completed from what their
 * `links.json` and `patch.json` name.
 *
 * links.json: part -> the folder that it is copied from. patch.json: a network that is another's tensors, those whose
 * names begin with one of `take`, with those of patch.safetensors in their place or added.
 */

import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { z } from "zod";
import { kindOf, readdir, readJson } from "../../src/files/file-system.js";
import { readTensor, resolveWeights } from "../../src/weights/component.js";
import type { TensorData } from "../../src/weights/safetensors.js";
import { writeSafetensors } from "../../src/weights/safetensors-file.js";

const ownData = fileURLToPath(new URL("../data", import.meta.url));

/** Folders in which a path is looked for, the first that has it counts. */
export class GoldenLayers {
  readonly folders: readonly string[];
  readonly #completed = new Map<string, Promise<string>>();
  #scratch: Promise<string> | undefined;

  constructor(folders: readonly string[]) {
    this.folders = folders;
  }

  /** Where `relative` lies; below the uppermost folder if nowhere. */
  async locate(relative: string): Promise<string> {
    for (const folder of this.folders) {
      const at = path.join(folder, relative);
      if (await kindOf(at)) return at;
    }
    return path.join(this.folders[0]!, relative);
  }

  /** A pipeline or network in Diffusers' layout: where it lies, or a completed copy. */
  complete(relative: string): Promise<string> {
    const found = this.#completed.get(relative) ?? this.#complete(relative);
    this.#completed.set(relative, found);
    return found;
  }

  /** Removes the copies. */
  async close(): Promise<void> {
    if (this.#scratch) await rm(await this.#scratch, { recursive: true, force: true });
  }

  async #complete(relative: string): Promise<string> {
    const source = await this.locate(relative);
    if ((await kindOf(source)) !== "folder") return source;
    const folders = [source, ...(await readdir(source)).map((name) => path.join(source, name))];
    const incomplete = await Promise.all(folders.map(isIncomplete));
    if (!incomplete.includes(true)) return source;
    this.#scratch ??= mkdtemp(path.join(tmpdir(), "golden-"));
    const copy = path.join(await this.#scratch, relative);
    await copyTree(source, copy);
    const links = path.join(copy, "links.json");
    if (await kindOf(links)) {
      const parts = z.record(z.string(), z.string()).parse(await readJson(links));
      for (const [part, from] of Object.entries(parts))
        await copyTree(await this.complete(from), path.join(copy, part));
    }
    const below = (await readdir(copy)).map((name) => path.join(copy, name));
    for (const folder of [copy, ...below]) await this.#patch(folder);
    return copy;
  }

  async #patch(folder: string): Promise<void> {
    const description = path.join(folder, "patch.json");
    if (!(await kindOf(description))) return;
    const patch = patchSchema.parse(await readJson(description));
    const base = await resolveWeights(await this.complete(patch.base));
    const replaced = await resolveWeights(path.join(folder, "patch.safetensors"));
    const taken = [...base.tensors.keys()].filter((name) =>
      patch.take.some((start) => name.startsWith(start)),
    );
    const tensors = new Map<string, TensorData>();
    for (const name of new Set([...taken, ...replaced.tensors.keys()])) {
      const set = replaced.tensors.has(name) ? replaced : base;
      tensors.set(name, { ...set.tensors.get(name)!, data: await readTensor(set, name) });
    }
    if (tensors.size !== patch.tensors)
      throw new Error(`${description}: must give ${patch.tensors} tensors, got ${tensors.size}`);
    for (const name of ["patch.json", "patch.safetensors"]) await rm(path.join(folder, name));
    await writeSafetensors(path.join(folder, patch.file), tensors);
  }
}

const patchSchema = z.object({
  base: z.string(),
  take: z.array(z.string()),
  file: z.string(),
  tensors: z.number(),
});

/** Not `cp`, which copies permissions too: of read-only folders. */
async function copyTree(from: string, to: string): Promise<void> {
  if ((await kindOf(from)) === "file") return writeFile(to, await readFile(from));
  await mkdir(to, { recursive: true });
  for (const name of await readdir(from)) await copyTree(path.join(from, name), path.join(to, name));
}

const isIncomplete = async (folder: string): Promise<boolean> =>
  (await kindOf(path.join(folder, "links.json"))) !== undefined ||
  (await kindOf(path.join(folder, "patch.json"))) !== undefined;

/**
 * The folder and what it lies over: `under`; else the folder `golden` beside it; else this repository's data. A folder
 * that is called "golden" itself lies over nothing.
 */
export async function goldenLayers(folder: string, under?: string): Promise<GoldenLayers> {
  if (under !== undefined) return new GoldenLayers([folder, under]);
  const top = path.resolve(folder);
  if (path.basename(top) === "golden" || top === ownData) return new GoldenLayers([folder]);
  const beside = path.join(path.dirname(top), "golden");
  return new GoldenLayers([folder, (await kindOf(beside)) === "folder" ? beside : ownData]);
}
