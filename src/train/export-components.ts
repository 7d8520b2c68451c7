/** @file The files that a student's folder takes over from its teacher's: all that the other components need. */

import path from "node:path";
import { kindOf, readdir, readJson, realpath } from "../files/file-system.js";
import { isObject, type JsonObject } from "../files/json.js";
import { resolveWeights } from "../weights/component.js";
import { licenseFiles } from "../weights/folder.js";
import type { ModelComponent, ModelSource } from "../weights/model-source.js";

/** A file to be taken over: `from` is its real path, `text` its content. `to` is relative to the new folder. */
export type TakenFile = { to: string } & ({ from: string } | { text: string });

/**
 * The files of every part but the U-Net; of weights only the set that `variant` names, by its plain names, so that the
 * new folder opens without naming it. Parts in `replaced` go without weights. ModelError where weights are absent.
 */
export async function otherParts(
  folder: ModelSource,
  replaced: ReadonlySet<string>,
  variant: string | undefined,
): Promise<TakenFile[]> {
  const files: TakenFile[] = [{ to: "model_index.json", text: json(await modelIndex(folder)) }];
  for (const name of await licenseFiles(folder.path))
    files.push({ to: name, from: await realpath(path.join(folder.path, name)) });
  for (const part of folder.components.values()) {
    if (part.name === "unet") continue;
    files.push(...(await partFiles(part, replaced.has(part.name), variant)));
  }
  return files;
}

/** Components that the index names but that were not downloaded become null, else Diffusers looks for them. */
async function modelIndex({ path: root, components: parts }: ModelSource): Promise<JsonObject> {
  const { _name_or_path: _, ...index } = await readJson(path.join(root, "model_index.json"));
  const entries = Object.entries(index).map(([name, value]) =>
    Array.isArray(value) && !parts.has(name) ? [name, [null, null]] : [name, value],
  );
  return Object.fromEntries(entries);
}

const weightFile = /\.(safetensors|bin|pt|pth|ckpt|msgpack|h5|onnx|onnx_data|pb|xml|gguf|tflite)$/i;
const indexFile = /\.index(\.[^.]+)?\.json$/;

async function partFiles(
  part: ModelComponent,
  withoutWeights: boolean,
  variant: string | undefined,
): Promise<TakenFile[]> {
  const at = (name: string) => path.join(part.path, name);
  const entries = (await readdir(part.path)).filter((name) => !name.startsWith(".")).sort();
  const kinds = await Promise.all(entries.map((name) => kindOf(at(name))));
  const names = entries.filter((_, i) => kinds[i] === "file");
  const isWeights = (name: string) => weightFile.test(name) || indexFile.test(name);
  const taken = names.filter((name) => !isWeights(name)).map((name) => [name, name] as const);
  const files = await Promise.all(
    taken.map(async ([name]) => ({ to: `${part.name}/${name}`, from: await realpath(at(name)) })),
  );
  if (withoutWeights || !names.some(isWeights)) return files;
  return [...files, ...(await weightFiles(part, names, variant))];
}

async function weightFiles(
  part: ModelComponent,
  names: readonly string[],
  variant: string | undefined,
): Promise<TakenFile[]> {
  const set = await resolveWeights(part.path, variant === undefined ? {} : { variant });
  const mark = set.variant ? `.${set.variant}` : "";
  const plain = (name: string) => (mark ? name.replace(mark, "") : name);
  const required = new Set(set.files);
  const files: TakenFile[] = [];
  for (const name of names) {
    if (!weightFile.test(name) || !name.includes(mark)) continue;
    const from = await realpath(path.join(part.path, name));
    // Two names may lead to one file; one of them is enough.
    if (required.delete(from)) files.push({ to: `${part.name}/${plain(name)}`, from });
  }
  const sharded = files.some(({ to }) => /-\d{5}-of-\d{5}\.safetensors$/.test(to));
  const index = names.find(
    (name) =>
      indexFile.test(name) &&
      name.includes(".safetensors") &&
      (mark ? name.includes(mark) : /\.index\.json$/.test(name)),
  );
  if (sharded && index) {
    const { weight_map: map, ...rest } = await readJson(path.join(part.path, index));
    const renamed = Object.entries(isObject(map) ? map : {}).map(([k, file]) => [k, plain(String(file))]);
    files.push({
      to: `${part.name}/${plain(index)}`,
      text: json({ ...rest, weight_map: Object.fromEntries(renamed) }),
    });
  }
  return files;
}

/** As Diffusers writes its configs. */
export const json = (value: unknown): string => `${JSON.stringify(value, undefined, 2)}\n`;
