/** @file Selects the files of a Hub repository that a pipeline, or one component, needs, by their names alone. */

import { listed, ModelError } from "../errors.js";
import path from "../files/path.js";
import {
  type FileKind,
  fileKinds,
  filesOfKind,
  isShard,
  isWeights,
  optionalComponents,
  plainFiles,
  type WeightFile,
  weightFiles,
} from "../weights/file-names.js";
import type { ModelIndex } from "../weights/index-file.js";
import type { HubPath } from "./name.js";

export type WeightChoice = {
  /**
   * File variant such as "fp16", for every component that has it; of the others the plain files. "plain" for the files
   * without a variant. If left out fp16, where a component has it.
   */
  variant?: string | undefined;
  /** Whether the model's safety checker is wanted, where it has one. */
  safetyChecker?: boolean | undefined;
};

/** `indexes` list shards that are needed too; `missing` are needed files that do not exist. */
export type Selection = { files: string[]; indexes: string[]; missing: string[] };

/**
 * Selects every component's configs and one set of its weights from `paths`. Without a variant, weights that
 * are on disk already (`has`) are preferred. ModelError where no variant can be selected.
 */
export function selectFiles(
  index: ModelIndex,
  paths: readonly string[],
  { has = () => false, ...choice }: WeightChoice & { has?: (path: string) => boolean } = {},
): Selection {
  const selection: Selection = { files: [], indexes: [], missing: [] };
  const [available, chosen]: [string[], string[]] = [[], []];
  for (const root of ["model_index.json", "koala.json"]) if (paths.includes(root)) selection.files.push(root);
  const checkerParts = choice.safetyChecker && index.components.has("safety_checker") ? checkerFolders : [];
  for (const [part, { className }] of index.components) {
    if (optionalComponents.includes(part) && !checkerParts.includes(part)) continue;
    const names = paths.filter((p) => p.startsWith(`${part}/`)).map((p) => p.slice(part.length + 1));
    const texts = names.filter((name) => /^[^/]+\.(json|txt)$/.test(name) && !name.includes(".index."));
    selection.files.push(...texts.map((name) => `${part}/${name}`));
    selection.missing.push(...absentConfigs(className, texts).map((name) => `${part}/${name}`));
    if (hasNoWeights(className)) continue;
    const weights = chooseWeights(part, names, { has: (name) => has(`${part}/${name}`), ...choice });
    available.push(...weightFiles(names).map((file) => file.variant));
    if (!weights) selection.missing.push(`${part}/*.safetensors`);
    else {
      chosen.push(weights.variant);
      selection[weights.indexed ? "indexes" : "files"].push(`${part}/${weights.name}`);
    }
  }
  const { variant } = choice;
  if (variant !== undefined && !chosen.includes(variant === plainFiles ? "" : variant))
    refuse("weights", available, `must hold variant "${variant}" of a part`);
  return selection;
}

/** The safety checker, and how images are prepared for it. */
const checkerFolders: readonly string[] = ["safety_checker", "feature_extractor"];

const isImageProcessor = (className: string) =>
  /(FeatureExtractor|ImageProcessor(Fast|Pil)?)$/.test(className);
const hasNoWeights = (className: string) =>
  isImageProcessor(className) || /(Scheduler|Tokenizer|TokenizerFast)$/.test(className);

function absentConfigs(className: string, names: readonly string[]): string[] {
  const lacks = (...wanted: string[]) => wanted.filter((name) => !names.includes(name));
  if (isImageProcessor(className)) return []; // its defaults are the published checker's
  if (className.endsWith("Scheduler")) return lacks("scheduler_config.json");
  if (!/Tokenizer(Fast)?$/.test(className)) return lacks("config.json");
  return names.includes("tokenizer.json") ? [] : lacks("vocab.json", "merges.txt");
}

type Choosing = WeightChoice & { has: (name: string) => boolean };

function chooseWeights(part: string, names: readonly string[], { variant, has }: Choosing) {
  const found = weightFiles(names);
  const of = (wanted: string) => found.find((file) => file.variant === wanted);
  const available = found.map((file) => file.variant);
  if (variant !== undefined && variant !== plainFiles)
    return of(variant) ?? of("") ?? refuse(part, available, `must hold variant "${variant}" or plain files`);
  if (variant === undefined) {
    const whole = found.filter((file) => setOf(file, names).every(has));
    const ready = whole.find((file) => file.variant === "") ?? whole[0];
    if (ready) return ready;
  }
  const preferred = variant === plainFiles ? of("") : (of("fp16") ?? of(""));
  if (preferred || found.length === 0) return preferred;
  if (new Set(available).size === 1) return found[0];
  return refuse(part, available, "has several variants");
}

function refuse(where: string, available: readonly string[], rule: string): undefined {
  if (available.length === 0) return undefined;
  const variants = [...new Set(available.map((variant) => variant || "plain"))];
  throw new ModelError(where, `${rule}, got ${listed(variants)}. Name one of them as the variant.`);
}

/** A component that replaces a pipeline's, a LoRA, or an embedding. */
export type ComponentKind = "unet" | "vae" | "text_encoder" | "text_encoder_2" | "safety_checker" | FileKind;

export const isFileKind = (kind: ComponentKind): kind is FileKind => Object.hasOwn(fileKinds, kind);

/** `path` is the file or folder to open, "" for the repository itself. */
export type ComponentSelection = Selection & { path: string };

/**
 * Selects the files of one component, at `inside` or where Diffusers looks for them: at the root of a repository with
 * this component alone, in the component's folder of a model, or under the usual name of a LoRA or embedding.
 */
export function selectComponent(
  kind: ComponentKind,
  { id, inside }: Pick<HubPath, "id" | "inside">,
  paths: readonly string[],
  choice: Choosing,
): ComponentSelection {
  if (isWeights(inside)) return selectFile(kind, inside, paths);
  if (isFileKind(kind)) return selectOfKind(kind, id, inside, paths);
  const within = (folder: string, name: string) => (folder ? `${folder}/${name}` : name);
  const isModel = paths.includes(within(inside, "model_index.json"));
  for (const folder of isModel ? [within(inside, kind)] : [inside, within(inside, kind)]) {
    const at = (name: string) => within(folder, name);
    const names = paths.filter((p) => p.startsWith(at(""))).map((p) => p.slice(at("").length));
    const weights = chooseWeights(kind, names, { ...choice, has: (name) => choice.has(at(name)) });
    if (!weights) continue;
    const config = names.includes("config.json") ? [at("config.json")] : [];
    if (kind === "safety_checker") {
      const settings = [at(processorFile), within(inside, `feature_extractor/${processorFile}`)];
      config.push(...settings.filter((file) => paths.includes(file)));
    }
    const needsConfig = kind === "vae" || kind === "safety_checker";
    const missing = needsConfig && !names.includes("config.json") ? [at("config.json")] : [];
    return weights.indexed
      ? { path: folder, files: config, indexes: [at(weights.name)], missing }
      : { path: folder, files: [...config, at(weights.name)], indexes: [], missing };
  }
  const missing = [within(inside, "diffusion_pytorch_model.safetensors")];
  return { path: inside, files: [], indexes: [], missing };
}

const processorFile = "preprocessor_config.json";

/** A file, with those that are read beside it: a config, and the encoder to TAESD's decoder. */
function selectFile(kind: ComponentKind, file: string, paths: readonly string[]): ComponentSelection {
  const beside = (name: string) => path.posix.join(path.posix.dirname(file), name);
  const encoder = path.posix.basename(file).replace("decoder", "encoder");
  const companions: Readonly<Record<FileKind, readonly string[]>> = {
    lora: ["adapter_config.json"],
    embedding: [],
  };
  const others = new Set((isFileKind(kind) ? companions[kind] : ["config.json", encoder]).map(beside));
  others.delete(file);
  const missing = paths.includes(file) ? [] : [file];
  return {
    path: file,
    files: [file, ...[...others].filter((p) => paths.includes(p))],
    indexes: [],
    missing,
  };
}

function selectOfKind(
  kind: FileKind,
  id: string,
  inside: string,
  paths: readonly string[],
): ComponentSelection {
  const { noun, usual } = fileKinds[kind];
  const start = inside && `${inside}/`;
  const found = filesOfKind(
    kind,
    paths.filter((p) => p.startsWith(start)),
  );
  if (found.length === 1) return selectFile(kind, found[0]!, paths);
  if (found.length === 0) return { path: inside, files: [], indexes: [], missing: [`${start}${usual}`] };
  const rule = `must name one ${noun}, got ${found.length}: ${listed(found)}`;
  throw new ModelError(id, `${rule}. Name one, as in ${id}/${found[0]}.`);
}

/** The files of a set of weights by their names: one file, or an index and its shards. */
function setOf({ name, stem, variant, indexed }: WeightFile, names: readonly string[]): string[] {
  const start = variant ? `${stem}.${variant}-` : `${stem}-`;
  const shards = names.filter((n) => n.startsWith(start) && isShard(n));
  return indexed ? [name, ...shards] : [name];
}
