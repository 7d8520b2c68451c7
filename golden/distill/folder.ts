/** @file A folder of distillation's golden data: which files it has, and how those that belong together are opened. */

import path from "node:path";
import { kindOf, readJson } from "../../src/files/file-system.js";
import type { JsonObject } from "../../src/files/json.js";
import { type Context, type Expectation, type TensorData, tensorData } from "../conformance/check.js";
import { type GoldenFile, namesIn, openGolden } from "../conformance/golden-file.js";

export type DistillFolder = {
  readonly folder: string;
  readonly names: readonly string[];
  readonly context: Context;
};

export async function distillFolder(context: Context): Promise<DistillFolder> {
  const folder = path.join(context.folder, "distil");
  return { folder, names: await namesIn(folder), context };
}

/** The ids W of file names such as `step-W.json`, sorted. */
export const studentIds = ({ names }: DistillFolder, kind: string): string[] =>
  names.flatMap((name) => (name.startsWith(`${kind}-`) && /-(.+)\.json$/.exec(name)?.[1]) || []);

export const json = ({ folder }: DistillFolder, name: string): Promise<JsonObject> =>
  readJson(path.join(folder, name));

/** A tensor file that `owner`, which is there, belongs with. */
export async function tensorsOf(
  set: DistillFolder,
  name: string,
  { owner, isInput = () => false }: { owner: string; isInput?: (tensor: string) => boolean },
): Promise<GoldenFile> {
  await requireFile(set, name, owner);
  return openGolden(path.join(set.folder, name), isInput);
}

/** Throws if a file or folder that `owner` needs is absent. */
export async function requireFile({ folder }: DistillFolder, name: string, owner: string): Promise<void> {
  if ((await kindOf(path.join(folder, name))) === undefined)
    throw new Error(`inputs absent: ${name} must be beside ${owner}`);
}

/** Computes once, at the first call. */
export function lazy<T>(compute: () => Promise<T>): () => Promise<T> {
  let result: Promise<T> | undefined;
  return () => (result ??= compute());
}

/** Computes once per key, at the first call with it. */
export function lazyByKey<T>(compute: (key: string) => Promise<T>): (key: string) => Promise<T> {
  const results = new Map<string, Promise<T>>();
  return (key) => {
    const found = results.get(key) ?? compute(key);
    results.set(key, found);
    return found;
  };
}

export const scalarData = (value: number): TensorData => tensorData([value]);

/** Every tensor of `names` as `PREFIX + NAME`, each within `tolerance(name)`. */
export async function tensorExpectations(
  file: GoldenFile,
  names: readonly string[],
  tolerance: (name: string) => Expectation["tolerance"],
): Promise<[string, Expectation][]> {
  const expected = async (name: string): Promise<[string, Expectation]> => [
    name,
    { tolerance: tolerance(name), numbers: await file.expected(name) },
  ];
  return Promise.all(names.map(expected));
}

/** `under_score` names of Python as ours. */
export const camelCased = (fields: JsonObject): Record<string, unknown> =>
  Object.fromEntries(
    Object.entries(fields).map(([key, value]) => [
      key.replace(/_(\w)/g, (_, letter: string) => letter.toUpperCase()),
      value,
    ]),
  );
