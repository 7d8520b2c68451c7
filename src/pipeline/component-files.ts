/** @file The files of one part: those in its folder of the model, or those of the place that stands in for it. */

import path from "node:path";
import { ModelError } from "../errors.js";
import { kindOf, readdir, readJson, realFile } from "../files/file-system.js";
import type { JsonObject } from "../files/json.js";
import { manifest, type Params } from "../tensor/params.js";
import { resolveWeights, type WeightEntry, type WeightSet } from "../weights/component.js";
import type { ModelFolder, ModelPart } from "../weights/folder.js";

export type WeightOptions = {
  /** File variant such as "fp16", for every part that has it; without it the plain files, else the only variant. */
  variant?: string;
  /** Which stored precision to take where a part has both; arithmetic on the CPU is float32 either way. */
  dtype?: "float32" | "float16";
  /** Describes the folder's weights by its configs alone: enough to predict with, not to run. */
  configsOnly?: boolean;
};

/** The part of that name, which must be of one of these classes. */
export function expectPart(folder: ModelFolder, name: string, classes: readonly string[]): ModelPart {
  const found = folder.part(name);
  if (classes.includes(found.className)) return found;
  throw new ModelError(
    "model_index.json",
    `${name}: must be ${classes.join(" or ")}, got ${found.className}. Other classes are not supported.`,
  );
}

/** The weights in a part's directory, by the variant that the options ask for; `trace` is the network they are of. */
export async function weightsIn(
  directory: string,
  { variant, dtype, configsOnly }: WeightOptions,
  trace: (p: Params) => unknown,
): Promise<WeightSet> {
  if (configsOnly) return described(trace);
  if (variant !== undefined) return resolveWeights(directory, { variant, orPlain: true });
  const half = dtype === "float16" && (await readdir(directory)).some((name) => name.includes(".fp16."));
  return resolveWeights(directory, half ? { variant: "fp16" } : {});
}

/** What a network asks for, as weights that lie nowhere. */
function described(trace: (p: Params) => unknown): WeightSet {
  const tensors = new Map<string, WeightEntry>();
  for (const [name, shape] of manifest(trace))
    tensors.set(name, { dtype: "F32", shape: [...shape], offset: 0, length: 0, file: "" });
  return { tensors, files: [], totalBytes: 0 };
}

/** What errors call a part: its file in its folder. */
export const label = (part: string, files: readonly string[]): string =>
  files.length === 0
    ? part
    : files.length === 1
      ? `${part}/${path.basename(files[0]!)}`
      : `${part} (${files.length} shards)`;

/** What stands in for a part: a folder, or one file of weights. `config` is the config.json in it, or beside it. */
export type Replacement = {
  kind: "file" | "folder";
  place: string;
  config: { json: JsonObject; file: string } | undefined;
};

/**
 * Opens what stands in for `part`; of a whole model, the folder of that part. Its config.json must name one of these
 * classes; that of another class beside a file is not the file's. ModelError.
 */
export async function openReplacement(
  at: string,
  part: "unet" | "vae",
  classes: readonly string[],
): Promise<Replacement> {
  const kind = await kindOf(at);
  if (kind === undefined) await realFile(at); // tells what is wrong, as an error
  const inside = path.join(at, part);
  if (kind === "folder" && (await kindOf(path.join(at, "model_index.json"))) && (await kindOf(inside)))
    return openReplacement(inside, part, classes);
  const file = path.join(kind === "folder" ? at : path.dirname(at), "config.json");
  const json = (await kindOf(file)) === "file" ? await readJson(file) : undefined;
  const className = json?._class_name;
  if (kind === "folder" && json && !classes.includes(String(className))) {
    const got = JSON.stringify(className);
    throw new ModelError(file, `_class_name: must be ${classes.join(" or ")}, got ${got}.`);
  }
  const config = json && classes.includes(String(className)) ? { json, file } : undefined;
  return { kind: kind!, place: at, config };
}
