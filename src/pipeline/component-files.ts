/** @file The files of a component: those in the model's folder, or those that replace them. */

import path from "node:path";
import { ModelError } from "../errors.js";
import { kindOf, readJson, realFile } from "../files/file-system.js";
import type { JsonObject } from "../files/json.js";
import { manifest, type Params } from "../tensor/params.js";
import { resolveWeights, type WeightEntry, type WeightSet } from "../weights/component.js";
import { plainFiles } from "../weights/file-names.js";
import type { ModelComponent, ModelFolder } from "../weights/folder.js";
import type { LoadOptions } from "./load-options.js";

export type WeightOptions = Pick<LoadOptions, "variant"> & {
  /** Describes the folder's weights by its configs alone: enough to estimate memory, not to run. */
  configsOnly?: boolean;
};

/** The component of that name, which must be of one of these classes. */
export function expectComponent(
  folder: ModelFolder,
  name: string,
  classes: readonly string[],
): ModelComponent {
  const found = folder.component(name);
  if (classes.includes(found.className)) return found;
  throw new ModelError(
    "model_index.json",
    `${name}: must be ${classes.join(" or ")}, got ${found.className}. Other classes are not supported.`,
  );
}

/** The weights in a component's directory, of the variant in the options; `trace` is their network. */
export async function weightsIn(
  directory: string,
  { variant, configsOnly }: WeightOptions,
  trace: (p: Params) => unknown,
): Promise<WeightSet> {
  if (configsOnly) return described(trace);
  // Plain files are what is taken where no variant is named.
  const named = variant === undefined || variant === plainFiles ? {} : { variant, orPlain: true };
  return resolveWeights(directory, named);
}

/** The weights of a network by name and shape, without files. */
function described(trace: (p: Params) => unknown): WeightSet {
  const tensors = new Map<string, WeightEntry>();
  for (const [name, shape] of manifest(trace))
    tensors.set(name, { dtype: "F32", shape: [...shape], offset: 0, length: 0, file: "" });
  return { tensors, files: [], totalBytes: 0 };
}

/** What errors call a component: its file in its folder. */
export const label = (component: string, files: readonly string[]): string =>
  files.length === 0
    ? component
    : files.length === 1
      ? `${component}/${path.basename(files[0]!)}`
      : `${component} (${files.length} shards)`;

/** What replaces a component: a folder, or one file of weights. `config` is the config.json in it, or beside it. */
export type Replacement = {
  kind: "file" | "folder";
  location: string;
  config: { json: JsonObject; file: string } | undefined;
};

/**
 * Opens what replaces `component`; of a whole model, the folder of that component. Its config.json must name one of these
 * classes; that of another class beside a file is not the file's. ModelError.
 */
export async function openReplacement(
  given: string,
  component: "unet" | "vae",
  classes: readonly string[],
): Promise<Replacement> {
  const kind = await kindOf(given);
  if (kind === undefined) await realFile(given); // throws an error that says what is wrong
  const inside = path.join(given, component);
  if (kind === "folder" && (await kindOf(path.join(given, "model_index.json"))) && (await kindOf(inside)))
    return openReplacement(inside, component, classes);
  const file = path.join(kind === "folder" ? given : path.dirname(given), "config.json");
  const json = (await kindOf(file)) === "file" ? await readJson(file) : undefined;
  const className = json?._class_name;
  if (kind === "folder" && json && !classes.includes(String(className))) {
    const got = JSON.stringify(className);
    throw new ModelError(file, `_class_name: must be ${classes.join(" or ")}, got ${got}.`);
  }
  const config = json && classes.includes(String(className)) ? { json, file } : undefined;
  return { kind: kind!, location: given, config };
}
