/**
 * @file Reads adapter files (LoRA, LoCon, LoHa, LoKr, DoRA, full differences): their tensors grouped by layer. Does not
 * check that a network has the layers.
 */

import { listed, ModelError } from "../errors.js";
import { kindOf as pathKind, readJson } from "../files/file-system.js";
import { describe, isObject, type JsonObject, parseJsonObject } from "../files/json.js";
import { dirname, join } from "../files/path.js";
import {
  bundledToken,
  type LoraNetwork,
  loraKey,
  type Role,
  refuseOtherKinds,
  wrapper,
} from "./adapter-keys.js";
import { type AdapterKind, type AdapterRole, adapterKinds, kindOf, type Shapes } from "./adapter-kinds.js";
import type { WeightEntry } from "./component.js";
import { isFloatDtype } from "./dtype.js";
import { fileKind } from "./file-kind.js";
import { openSafetensors, type SafetensorsFile } from "./safetensors-file.js";

/** One layer's change, times `scale`, which is alpha / rank. */
export type LoraLayer = {
  part: LoraNetwork;
  /** The layer's path in its network with "_" for every ".", in Diffusers' names or in sgm's. */
  path: string;
  /** The name of one of its tensors in the file. */
  key: string;
  kind: AdapterKind;
  /** Of the weight's change; none where a bias alone changes. */
  tensors: { readonly [R in AdapterRole]?: WeightEntry };
  /** DoRA's magnitude (Liu et al., arXiv 2402.09353): `of` says whose rules hold for a strength other than 1. */
  magnitude?: { entry: WeightEntry; of: "trainers" | "peft" };
  /** What is added to the bias; `scaled` as the weight is. */
  bias?: { entry: WeightEntry; scaled: boolean };
  scale: number;
};

export type LoraFile = {
  layers: readonly LoraLayer[];
  /** Names of embeddings that OneTrainer bundled with the layers; they are not read. */
  embeddings: readonly string[];
  /** Keys of unknown meaning. */
  unknown: readonly string[];
  /** What of the file had to be assumed. */
  notes: readonly string[];
};

/** Opens an adapter file; ModelError for other kinds of adapter, incomplete layers, and files without layers. */
export const openLora = async (path: string): Promise<LoraFile> => loraIn(path, await openSafetensors(path));

/** The same of a file that is open. */
export async function loraIn(path: string, file: SafetensorsFile): Promise<LoraFile> {
  const keys = [...file.tensors.keys()];
  refuseOtherKinds(path, keys);
  const { halves, embeddings, unknown } = group(path, file);
  if (halves.size === 0) {
    const got = `got ${listed(keys, 3) || "nothing"}`;
    const other = fileKind(keys);
    const remedy = other ? `It is ${other.what}. ${other.remedy}` : "Is this a LoRA?";
    throw new ModelError(path, `must hold LoRA layers (lora_down, lora_A), ${got}. ${remedy}`);
  }
  const { of, notes } = await readAdapters(path, file, keys);
  const layers = [...halves.values()].map((half) => layerOf(path, file, half, of));
  return { layers: await Promise.all(layers), embeddings, unknown, notes };
}

type Named = { key: string; entry: WeightEntry };
type Half = { part: LoraNetwork; path: string; roles: Map<Role, Named> };

/** The tensors of a file by layer and role. */
function group(path: string, file: SafetensorsFile) {
  const halves = new Map<string, Half>();
  const embeddings = new Set<string>();
  const unknown: string[] = [];
  for (const [key, tensor] of file.tensors) {
    const embedding = bundledToken(key);
    if (embedding !== undefined) {
      embeddings.add(embedding);
      continue;
    }
    const meaning = loraKey(key);
    if (!meaning) {
      unknown.push(key);
      continue;
    }
    const id = `${meaning.part}.${meaning.path}`;
    const half: Half = halves.get(id) ?? { part: meaning.part, path: meaning.path, roles: new Map() };
    const first = half.roles.get(meaning.role);
    if (first) {
      const problem = `must have each layer once, got ${listed([first.key, key])} for one`;
      throw new ModelError(path, `${problem}. Merge them, or use two files.`);
    }
    half.roles.set(meaning.role, { key, entry: { ...tensor, file: file.path } });
    halves.set(id, half);
  }
  return { halves, embeddings: [...embeddings], unknown };
}

/** PEFT's config of one network. */
type Adapter = { alpha: number; patterns: readonly (readonly [string, number])[]; root: boolean };

async function layerOf(
  at: string,
  file: SafetensorsFile,
  { part, path, roles }: Half,
  adapters: (part: LoraNetwork) => Adapter | undefined,
): Promise<LoraLayer> {
  const kind = kindOfLayer(at, `${part}.${path}`, roles);
  const tensors: { [R in AdapterRole]?: WeightEntry } = {};
  for (const [role, { entry }] of roles) if (kindOf(role) === kind) tensors[role as AdapterRole] = entry;
  const [{ key }] = [...roles.values()] as [Named];
  const bias = roles.get("bias") ?? roles.get("lora_bias");
  const [trainers, peft] = [roles.get("dora_scale"), roles.get("magnitude")];
  const magnitude = trainers ?? peft;
  const alpha = roles.get("alpha");
  const given = alpha && (await number(file, alpha));
  return {
    ...{ part, path, key, kind, tensors },
    ...(magnitude && { magnitude: { entry: magnitude.entry, of: trainers ? "trainers" : "peft" } }),
    ...(bias && { bias: { entry: bias.entry, scaled: !roles.has("bias") } }),
    scale: scaleOf(kind, path, tensors, given, adapters(part)),
  };
}

/** The one kind whose tensors a layer has; ModelError where it is not whole, or has more than one. */
function kindOfLayer(file: string, id: string, roles: ReadonlyMap<Role, Named>): AdapterKind {
  const kinds = [...new Set([...roles.keys()].flatMap((role) => kindOf(role) ?? []))];
  const fail = (rule: string, some: readonly Named[]): never => {
    const keys = some.map(({ key }) => key);
    throw new ModelError(file, `${rule}, got only ${listed(keys)} of ${id}. Download it again.`, {
      unexpected: keys,
    });
  };
  const all = [...roles.values()];
  if (kinds.length > 1) return fail("must have one kind of change for each layer", all);
  const kind = kinds[0] ?? "full";
  if (roles.has("dora_scale") && roles.has("magnitude"))
    return fail("must have one magnitude for each layer", all);
  if (roles.has("bias") && roles.has("lora_bias")) return fail("must have one bias for each layer", all);
  const isBiasAlone = kinds.length === 0 && roles.has("bias") && roles.size === 1;
  const isWhole = adapterKinds[kind].needs.every((ways) =>
    ways.some((way) => way.every((role) => roles.has(role))),
  );
  if (isWhole || isBiasAlone) return kind;
  if (kind === "lora") return fail("must hold down and up of each layer", all);
  return fail("must hold all tensors of each layer", all);
}

/** alpha / rank; alpha is the rank where none is given or it is 0, as in kohya's and LyCORIS' trainers. */
function scaleOf(
  kind: AdapterKind,
  path: string,
  tensors: LoraLayer["tensors"],
  alpha: number | undefined,
  adapter: Adapter | undefined,
): number {
  const rank = adapterKinds[kind].rank(shapesOf(tensors));
  if (rank === undefined) return 1;
  const own = adapter?.patterns.find(([pattern]) => path === pattern || path.endsWith(`_${pattern}`));
  const given = alpha ?? own?.[1] ?? adapter?.alpha ?? rank;
  return (given === 0 ? rank : given) / (adapter?.root ? Math.sqrt(rank) : rank);
}

/** The shapes of a layer's tensors. */
export const shapesOf = (tensors: LoraLayer["tensors"]): Shapes =>
  Object.fromEntries(Object.entries(tensors).map(([role, { shape }]) => [role, shape]));

async function number(file: SafetensorsFile, { key, entry }: Named): Promise<number> {
  const values = isFloatDtype(entry.dtype) ? await file.readFloats(key) : await file.read(key);
  const value = Number(values[0]);
  if (values.length === 1 && Number.isFinite(value)) return value;
  throw new ModelError(entry.file, `${key}: must be one number, got ${values.length}: ${value}.`);
}

/** Diffusers writes PEFT's config into the header, PEFT itself into a file beside it. */
async function readAdapters(
  path: string,
  file: SafetensorsFile,
  keys: readonly string[],
): Promise<{ of: (part: LoraNetwork) => Adapter | undefined; notes: string[] }> {
  const header = file.metadata.lora_adapter_metadata;
  if (header !== undefined) {
    const all = parseJsonObject(new TextEncoder().encode(header), path, "lora_adapter_metadata");
    return { of: (part) => adapterOf(within(all, `${part}.`), path), notes: [] };
  }
  const none = () => undefined;
  if (!keys.some((key) => key.startsWith(wrapper))) return { of: none, notes: [] };
  const beside = join(dirname(path), "adapter_config.json");
  if ((await pathKind(beside)) !== "file") {
    const holdsAlpha = keys.some((key) => key.endsWith(".alpha"));
    const note = "no adapter_config.json is beside it, which holds lora_alpha: it is taken to be the rank";
    return { of: none, notes: holdsAlpha ? [] : [note] };
  }
  const adapter = adapterOf(await readJson(beside), beside);
  return { of: () => adapter, notes: [] };
}

const within = (all: JsonObject, prefix: string): JsonObject =>
  Object.fromEntries(
    Object.entries(all).flatMap(([key, value]) =>
      key.startsWith(prefix) ? [[key.slice(prefix.length), value]] : [],
    ),
  );

function adapterOf(config: JsonObject, file: string): Adapter | undefined {
  // PEFT's LoHa and LoKr call it alpha.
  const { lora_alpha: alpha = config.alpha, alpha_pattern: patterns = {}, use_rslora } = config;
  if (Object.keys(config).length === 0) return undefined;
  if (typeof alpha !== "number") {
    throw new ModelError(file, `lora_alpha: must be a number, got ${describe(alpha)}. Download it again.`);
  }
  if (!isObject(patterns) || Object.values(patterns).some((value) => typeof value !== "number")) {
    throw new ModelError(file, `alpha_pattern: must map layers to numbers, got ${describe(patterns)}.`);
  }
  const flat = (name: string) => name.replace(/^\^/, "").replaceAll(".", "_");
  return {
    alpha,
    patterns: Object.entries(patterns).map(([name, value]) => [flat(name), value as number]),
    root: use_rslora === true,
  };
}
