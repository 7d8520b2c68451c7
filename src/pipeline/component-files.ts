/** @file The files of a component: those in the model's folder, or those that replace them. */

import type { Engine } from "../engine/engine.js";
import { ModelError } from "../errors.js";
import { kindOf, readJson, realFile } from "../files/file-system.js";
import type { JsonObject } from "../files/json.js";
import path from "../files/path.js";
import { manifest, type Params } from "../tensor/params.js";
import type { ModelComponent, ModelSource, WeightChoice } from "../weights/model-source.js";
import type { WeightEntry } from "../weights/safetensors-file.js";
import type { WeightSet } from "../weights/weight-set.js";
import type { LoadOptions } from "./load-options.js";
import type { SingleFileOptions } from "./single-file/open.js";

export type WeightOptions = WeightChoice & {
  /** Describes the folder's weights by its configs alone: enough to estimate memory, not to run. */
  configsOnly?: boolean;
};

export type ComponentOptions = WeightOptions &
  Pick<
    LoadOptions,
    "unet" | "vae" | "textEncoder" | "textEncoder2" | "safetyChecker" | "loras" | "embeddings"
  > &
  SingleFileOptions & { engine: Engine };

/** The component of that name, which must be of one of these classes. */
export function expectComponent(
  folder: ModelSource,
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

/** A component's weights, of the variant in the options; `trace` is their network. */
export const weightsOf = async (
  component: ModelComponent,
  { configsOnly, ...choice }: WeightOptions,
  trace: (p: Params) => unknown,
): Promise<WeightSet> => (configsOnly ? described(trace) : component.weights(choice));

/** The weights of a network by name and shape, without files. */
export function described(trace: (p: Params) => unknown): WeightSet {
  const tensors = new Map<string, WeightEntry>();
  for (const [name, shape] of manifest(trace))
    tensors.set(name, { dtype: "F32", shape: [...shape], offset: 0, length: 0, file: "" });
  return { tensors, files: [], totalBytes: 0 };
}

/** What errors call a component: its file in its folder, or the single file that holds the model. */
export function label(component: string, files: readonly string[], source?: ModelSource): string {
  if (source?.file) return path.basename(source.path);
  if (files.length === 0) return component;
  if (files.length > 1) return `${component} (${files.length} shards)`;
  return `${component}/${path.basename(files[0]!)}`;
}

/** What errors call a component's config. */
export const configLabel = (component: string, source: ModelSource): string =>
  source.file ? `${path.basename(source.path)}: the config of ${component}` : `${component}/config.json`;

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
  component: string,
  classes: readonly string[],
): Promise<Replacement> {
  const kind = await kindOf(given);
  if (kind === undefined) await realFile(given); // throws an error that says what is wrong
  const inside = path.join(given, component);
  if (kind === "folder" && (await kindOf(path.join(given, "model_index.json"))) && (await kindOf(inside)))
    return openReplacement(inside, component, classes);
  const file = path.join(kind === "folder" ? given : path.dirname(given), "config.json");
  const json = (await kindOf(file)) === "file" ? await readJson(file) : undefined;
  const className = json?._class_name ?? (json?.architectures as unknown[] | undefined)?.[0];
  if (kind === "folder" && json && !classes.includes(String(className))) {
    const got = JSON.stringify(className);
    throw new ModelError(file, `_class_name: must be ${classes.join(" or ")}, got ${got}.`);
  }
  const config = json && classes.includes(String(className)) ? { json, file } : undefined;
  return { kind: kind!, location: given, config };
}
