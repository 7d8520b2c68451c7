/** @file Which files of a Hub repository a pipeline needs. Pure: names in, names out. */

import { listed, ModelError } from "../errors.js";
import { isShard, unreadParts, type WeightFile, weightFiles } from "../weights/file-names.js";
import type { ModelIndex } from "../weights/index-file.js";

export type WeightChoice = {
  /** File variant such as "fp16", for every part. */
  variant?: string | undefined;
  /** "float32" takes the plain files; otherwise the fp16 variant, where a part has it. */
  dtype?: "float32" | "float16" | undefined;
};

/** `indexes` name the shards that are needed besides; `missing` is what the pipeline cannot do without. */
export type Selection = { files: string[]; indexes: string[]; missing: string[] };

/**
 * Chooses every part's configs and one set of its weights, out of `paths`. With neither variant nor dtype asked, weights
 * of which `has` says that they are there already are preferred. ModelError where the choice cannot be made.
 */
export function selectFiles(
  index: ModelIndex,
  paths: readonly string[],
  { has = () => false, ...choice }: WeightChoice & { has?: (path: string) => boolean } = {},
): Selection {
  const selection: Selection = { files: [], indexes: [], missing: [] };
  for (const root of ["model_index.json", "koala.json"]) if (paths.includes(root)) selection.files.push(root);
  for (const [part, { className }] of index.parts) {
    if (unreadParts.includes(part)) continue;
    const names = paths.filter((p) => p.startsWith(`${part}/`)).map((p) => p.slice(part.length + 1));
    const texts = names.filter((name) => /^[^/]+\.(json|txt)$/.test(name) && !name.includes(".index."));
    selection.files.push(...texts.map((name) => `${part}/${name}`));
    selection.missing.push(...absentConfigs(className, texts).map((name) => `${part}/${name}`));
    if (/(Scheduler|Tokenizer|TokenizerFast)$/.test(className)) continue;
    const weights = chooseWeights(part, names, { has: (name) => has(`${part}/${name}`), ...choice });
    if (!weights) selection.missing.push(`${part}/*.safetensors`);
    else selection[weights.indexed ? "indexes" : "files"].push(`${part}/${weights.name}`);
  }
  return selection;
}

function absentConfigs(className: string, names: readonly string[]): string[] {
  const lacks = (...wanted: string[]) => wanted.filter((name) => !names.includes(name));
  if (className.endsWith("Scheduler")) return lacks("scheduler_config.json");
  if (!/Tokenizer(Fast)?$/.test(className)) return lacks("config.json");
  return names.includes("tokenizer.json") ? [] : lacks("vocab.json", "merges.txt");
}

type Choosing = WeightChoice & { has: (name: string) => boolean };

function chooseWeights(part: string, names: readonly string[], { variant, dtype, has }: Choosing) {
  const found = weightFiles(names);
  const of = (wanted: string) => found.find((file) => file.variant === wanted);
  if (variant !== undefined) return of(variant) ?? refuse(part, found, `must hold variant "${variant}"`);
  if (dtype === undefined) {
    const there = found.filter((file) => setOf(file, names).every(has));
    const ready = there.find((file) => file.variant === "") ?? there[0];
    if (ready) return ready;
  }
  const preferred = dtype === "float32" ? of("") : (of("fp16") ?? of(""));
  if (preferred || found.length === 0) return preferred;
  if (new Set(found.map((file) => file.variant)).size === 1) return found[0];
  return refuse(part, found, "has several variants");
}

function refuse(part: string, found: readonly WeightFile[], rule: string): undefined {
  if (found.length === 0) return undefined;
  const variants = [...new Set(found.map((file) => file.variant || "plain"))];
  throw new ModelError(part, `${rule}, got ${listed(variants)}. Name one of them as the variant.`);
}

/** A set's files as far as names tell: the file, or an index and its shards. */
function setOf({ name, stem, variant, indexed }: WeightFile, names: readonly string[]): string[] {
  const start = variant ? `${stem}.${variant}-` : `${stem}-`;
  const shards = names.filter((n) => n.startsWith(start) && isShard(n));
  return indexed ? [name, ...shards] : [name];
}
