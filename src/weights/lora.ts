/**
 * @file Reads LoRA files: their tensors grouped by layer, in the names of Diffusers (old and new), PEFT and kohya. Does
 * not check that a network has the layers.
 */
import { dirname, join } from "node:path";
import { listed, ModelError } from "../errors.js";
import { kindOf, readJson } from "../files/file-system.js";
import { describe, isObject, type JsonObject, parseJsonObject } from "../files/json.js";
import type { WeightEntry } from "./component.js";
import { isFloatDtype } from "./dtype.js";
import { openSafetensors, readFloat32, readStored, type SafetensorsFile } from "./safetensors-file.js";

/** Which network a layer belongs to, as model_index.json names it. */
export type LoraNetwork = "unet" | "text_encoder" | "text_encoder_2";

/** One layer's change: `scale * up @ down`, where `scale` is alpha / rank. */
export type LoraLayer = {
  part: LoraNetwork;
  /** The layer's path in its network with "_" for every ".", in Diffusers' names or in sgm's. */
  path: string;
  /** The name of `down` in the file. */
  key: string;
  /** [rank, in] or [rank, in, height, width] */
  down: WeightEntry;
  /** [out, rank] or [out, rank, 1, 1] */
  up: WeightEntry;
  scale: number;
};

export type LoraFile = {
  layers: readonly LoraLayer[];
  /** Names of embeddings that OneTrainer bundled with the layers; they are not read. */
  embeddings: readonly string[];
  /** Keys of unknown meaning. */
  unknown: readonly string[];
};

/** Opens a LoRA file; ModelError for other kinds of adapter, incomplete layers, and files without layers. */
export async function openLora(path: string): Promise<LoraFile> {
  const file = await openSafetensors(path);
  const keys = [...file.tensors.keys()];
  refuseOthers(path, keys);
  const { halves, embeddings, unknown } = pair(path, file);
  if (halves.size === 0) {
    const got = `got ${listed(keys, 3) || "nothing"}`;
    throw new ModelError(path, `must hold LoRA layers (lora_down, lora_A), ${got}. Is this a LoRA?`);
  }
  const adapters = await readAdapters(path, file, keys);
  const layers = [...halves].map(([id, half]) => layerOf(path, id, half, adapters));
  return { layers: await Promise.all(layers), embeddings, unknown };
}

type Side = "down" | "up" | "alpha";
type Half = Record<"part", LoraNetwork> & { path: string } & Partial<
    Record<Side, { key: string; entry: WeightEntry }>
  >;

/** Other kinds of adapter, by their keys. */
const others: readonly (readonly [RegExp, string])[] = [
  [/\.dora_scale$|\.lora_magnitude_vector\b/, "DoRA"],
  [/\.hada_[wt]/, "LoHa"],
  [/\.lokr_[wt]/, "LoKr"],
  [/\.lora_mid\b/, "LoRA in Tucker form"],
  [/\.oft_/, "OFT"],
  [/\.lora_[AB](\.\w+)?\.bias$/, "LoRA with biases"],
  [/\.diff(_b)?$/, "weight difference"],
];

function refuseOthers(file: string, keys: readonly string[]): void {
  for (const [pattern, kind] of others) {
    const found = keys.filter((key) => pattern.test(key));
    if (found.length === 0) continue;
    const problem = `must be a plain LoRA, got ${found.length} ${kind} tensors: ${listed(found, 2)}`;
    throw new ModelError(file, `${problem}. Have it saved as plain LoRA.`, { unexpected: found });
  }
}

const forms = [
  /^(?<stem>.+?)\.lora_(?<side>down|up)\.weight$/, // kohya
  /^(?<stem>.+?)\.lora_(?<side>[AB])(?:\.\w+)?\.weight$/, // PEFT; the adapter's name may be left in
  /^(?<stem>.+?)(?:_lora|\.lora(?:_linear)?(?:_layer)?)\.(?<side>down|up)\.weight$/, // Diffusers before PEFT
  /^(?<stem>.+?)(?:_lora|\.lora(?:_linear)?(?:_layer)?)?\.(?<side>alpha)$/,
];

const prefixes: readonly (readonly [string, LoraNetwork])[] = [
  ["lora_unet_", "unet"],
  ["lora_te1_", "text_encoder"],
  ["lora_te2_", "text_encoder_2"],
  ["lora_te_", "text_encoder"],
  ["text_encoder_2.", "text_encoder_2"],
  ["text_encoder.", "text_encoder"],
  ["unet.", "unet"],
  ["diffusion_model.", "unet"],
];

/** The prefix of PEFT's wrapper around a network. */
const wrapper = "base_model.model.";

/** The network, layer and side of a key; undefined for a key of another meaning. */
export function loraKey(key: string): { part: LoraNetwork; path: string; side: Side } | undefined {
  const found = forms.map((form) => form.exec(key)).find((match) => match !== null);
  if (!found) return undefined;
  const { stem, side } = found.groups as { stem: string; side: string };
  const [prefix, part] = prefixes.find(([start]) => stem.startsWith(start)) ?? ["", "unet" as const];
  const bare = stem.slice(prefix.length);
  const path = (bare.startsWith(wrapper) ? bare.slice(wrapper.length) : bare)
    .replace(/\.processor(?=\.)/, "")
    .replace(/\b(attn[12])\.to_out$/, "$1.to_out.0")
    .replace(/\bself_attn\.to_(q|k|v|out)$/, "self_attn.$1_proj");
  const sides: Record<string, Side> = { A: "down", B: "up" };
  return { part, path: path.replaceAll(".", "_"), side: sides[side] ?? (side as Side) };
}

/** `bundle_emb.<token>.clip_l`, or with another of the tensors that textual inversions have. */
const bundled = /^bundle_emb\.([^.]+)\./;

function pair(path: string, file: SafetensorsFile) {
  const halves = new Map<string, Half>();
  const embeddings = new Set<string>();
  const unknown: string[] = [];
  for (const [key, tensor] of file.tensors) {
    const embedding = bundled.exec(key)?.[1];
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
    const half: Half = halves.get(id) ?? { part: meaning.part, path: meaning.path };
    const first = half[meaning.side];
    if (first) {
      const problem = `must have each layer once, got ${listed([first.key, key])} for one`;
      throw new ModelError(path, `${problem}. Merge them, or use two files.`);
    }
    half[meaning.side] = { key, entry: { ...tensor, file: file.path } };
    halves.set(id, half);
  }
  return { halves, embeddings: [...embeddings], unknown };
}

/** PEFT's config of one network. */
type Adapter = { alpha: number; patterns: readonly (readonly [string, number])[]; root: boolean };

async function layerOf(
  file: string,
  id: string,
  { part, path, down, up, alpha }: Half,
  adapters: (part: LoraNetwork) => Adapter | undefined,
): Promise<LoraLayer> {
  if (!down || !up) {
    const { key } = (down ?? up ?? alpha)!;
    const problem = `must hold down and up of each layer, got only ${listed([key])} of ${id}`;
    throw new ModelError(file, `${problem}. Download it again.`, { unexpected: [key] });
  }
  const rank = down.entry.shape[0]!;
  const adapter = adapters(part);
  const own = adapter?.patterns.find(([pattern]) => path === pattern || path.endsWith(`_${pattern}`));
  const given = alpha ? await number(alpha.key, alpha.entry) : (own?.[1] ?? adapter?.alpha ?? rank);
  const scale = given / (adapter?.root ? Math.sqrt(rank) : rank);
  return { part, path, key: down.key, down: down.entry, up: up.entry, scale };
}

async function number(key: string, entry: WeightEntry): Promise<number> {
  const values = isFloatDtype(entry.dtype) ? await readFloat32(key, entry) : await readStored(entry);
  const value = Number(values[0]);
  if (values.length === 1 && Number.isFinite(value)) return value;
  throw new ModelError(entry.file, `${key}: must be one number, got ${values.length}: ${value}.`);
}

/** Diffusers writes PEFT's config into the header, PEFT itself into a file beside it. */
async function readAdapters(
  path: string,
  file: SafetensorsFile,
  keys: readonly string[],
): Promise<(part: LoraNetwork) => Adapter | undefined> {
  const header = file.metadata.lora_adapter_metadata;
  if (header !== undefined) {
    const all = parseJsonObject(new TextEncoder().encode(header), path, "lora_adapter_metadata");
    return (part) => adapterOf(within(all, `${part}.`), path);
  }
  if (!keys.some((key) => key.startsWith(wrapper))) return () => undefined;
  const beside = join(dirname(path), "adapter_config.json");
  if ((await kindOf(beside)) !== "file") {
    const problem = "must have adapter_config.json beside it, which holds lora_alpha, got none";
    throw new ModelError(path, `${problem}. Put it there.`);
  }
  const adapter = adapterOf(await readJson(beside), beside);
  return () => adapter;
}

const within = (all: JsonObject, prefix: string): JsonObject =>
  Object.fromEntries(
    Object.entries(all).flatMap(([key, value]) =>
      key.startsWith(prefix) ? [[key.slice(prefix.length), value]] : [],
    ),
  );

function adapterOf(config: JsonObject, file: string): Adapter | undefined {
  const { lora_alpha: alpha, alpha_pattern: patterns = {}, use_dora, use_rslora } = config;
  if (Object.keys(config).length === 0) return undefined;
  if (use_dora === true) throw new ModelError(file, "use_dora: must be false, got true. Use a plain LoRA.");
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
