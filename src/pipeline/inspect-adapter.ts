/** @file What an adapter file holds, and which published models have its layers: by their names and shapes alone. */

import path from "node:path";
import { clipConfig, clipText } from "../models/clip.js";
import { knownTextEncoders, knownUnets, otherUnets } from "../models/known.js";
import { traceUnet } from "../models/trace.js";
import { unetConfig } from "../models/unet-config.js";
import { input } from "../tensor/operations.js";
import { count } from "../tensor/tensor.js";
import { isAdapterKey, type LoraNetwork } from "../weights/adapter-keys.js";
import { adapterKinds } from "../weights/adapter-kinds.js";
import type { WeightEntry, WeightSet } from "../weights/component.js";
import { type LoraLayer, openLora, shapesOf } from "../weights/lora.js";
import { openSafetensors } from "../weights/safetensors-file.js";
import { described } from "./component-files.js";
import { type Adaptable, fittingCount } from "./lora.js";

/** What an adapter changes in one network. */
type AdaptedNetwork = {
  network: LoraNetwork;
  layers: number;
  /** Layers by the kind of their change. */
  kinds: Readonly<Record<string, number>>;
  /** In ascending order; none of kinds without a rank. */
  ranks: readonly number[];
  /** Layers by what they compute. */
  targets: Readonly<Record<string, number>>;
  parameters: number;
  dtypes: string;
  bytes: number;
};

/** How many of an adapter's layers a published model has. */
export type FittingModel = { model: string; layers: number };

export type AdapterReport = {
  title: string;
  layers: number;
  networks: readonly AdaptedNetwork[];
  /** Models that have at least one of the layers, those with most first; of equal ones the smallest first. */
  fits: readonly FittingModel[];
  warnings: readonly string[];
  notes: readonly string[];
};

/** ModelError for a broken file and for kinds that are not supported; undefined for a file that is no adapter. */
export async function inspectAdapter(file: string): Promise<AdapterReport | undefined> {
  const { tensors, metadata } = await openSafetensors(file);
  if (![...tensors.keys()].some(isAdapterKey)) return undefined;
  const { layers, embeddings, unknown, notes } = await openLora(file);
  const order: readonly LoraNetwork[] = ["unet", "text_encoder", "text_encoder_2"];
  const changed = order.filter((network) => layers.some(({ part }) => part === network));
  const networks = changed.map((network) => adapted(network, layers));
  const kinds = [...new Set(networks.flatMap((network) => Object.keys(network.kinds)))];
  return {
    title: `Adapter: ${kinds.join(", ")}`,
    layers: layers.length,
    networks,
    fits: fittingModels(layers),
    warnings:
      unknown.length > 0 ? [`${path.basename(file)}: ${unknown.length} tensors of unknown meaning`] : [],
    notes: [
      ...notes,
      ...(embeddings.length > 0 ? [`embeddings in the same file: ${embeddings.join(", ")}`] : []),
      ...metadataNotes(metadata),
    ],
  };
}

/** The header's metadata, at most 40 lines of 100 characters. */
export const metadataNotes = (metadata: Readonly<Record<string, string>>): string[] =>
  Object.entries(metadata)
    .slice(0, 40)
    .map(([name, value]) => `${name}: ${value.length > 100 ? `${value.slice(0, 100)}...` : value}`);

function adapted(network: LoraNetwork, all: readonly LoraLayer[]): AdaptedNetwork {
  const layers = all.filter(({ part }) => part === network);
  const entries = layers.flatMap(({ tensors, magnitude, bias }) =>
    [...Object.values(tensors), magnitude?.entry, bias?.entry].filter(
      (entry): entry is WeightEntry => entry !== undefined,
    ),
  );
  const ranks = layers.flatMap(({ kind, tensors }) => adapterKinds[kind].rank(shapesOf(tensors)) ?? []);
  return {
    network,
    layers: layers.length,
    kinds: counted(layers.map(kindName)),
    ranks: [...new Set(ranks)].sort((a, b) => a - b),
    targets: counted(layers.map(({ path }) => targetOf(path))),
    parameters: entries.reduce((sum, { shape }) => sum + count(shape), 0),
    dtypes: [...new Set(entries.map(({ dtype }) => dtype))].sort().join(" "),
    bytes: entries.reduce((sum, { length }) => sum + length, 0),
  };
}

function counted(names: readonly string[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const name of names) counts[name] = (counts[name] ?? 0) + 1;
  return counts;
}

/** LoCon is LoRA of a convolution; DoRA goes with any kind. */
function kindName({ kind, tensors, magnitude, bias }: LoraLayer): string {
  const kernel = [tensors.down, tensors.mid].some((entry) => entry?.shape.slice(2).some((side) => side > 1));
  const plain = kernel
    ? "LoCon"
    : { lora: "LoRA", loha: "LoHa", lokr: "LoKr", full: "full difference" }[kind];
  if (!magnitude) return Object.keys(tensors).length === 0 && bias ? "bias" : plain;
  return kind === "lora" ? "DoRA" : `${plain} with DoRA`;
}

/** What a layer computes, by its path in either naming; the first that matches counts. */
const targets: readonly (readonly [pattern: RegExp, target: string])[] = [
  [/norm|_(in|out)_layers_0$|^out_0$/, "norms"],
  [/attn|attention/, "attention"],
  [/_ff_|mlp_fc/, "feed-forward"],
  [/proj_(in|out)$|projection$/, "projections"],
  [/time_emb|emb_layers|(add|label|time)_emb/, "embeddings"],
  [/conv|_layers_[23]$|skip_connection|_op$|_blocks_0_0$|^out_2$/, "convolutions"],
];

const targetOf = (layer: string): string =>
  targets.find(([pattern]) => pattern.test(layer))?.[1] ?? "other layers";

/** The text encoders of each U-Net by the width of text that it reads. */
const encodersOf: Readonly<Record<number, Partial<Record<LoraNetwork, keyof typeof knownTextEncoders>>>> = {
  768: { text_encoder: "CLIP ViT-L" },
  1024: { text_encoder: "OpenCLIP ViT-H" },
  2048: { text_encoder: "CLIP ViT-L", text_encoder_2: "OpenCLIP ViT-bigG" },
};

function fittingModels(layers: readonly LoraLayer[]): FittingModel[] {
  const models = Object.entries({ ...knownUnets, ...otherUnets }).map(([model, json]) => {
    const networks = networksOf(json);
    const fitting = networks.reduce((sum, network) => sum + fittingCount(layers, network), 0);
    const size = networks.reduce((sum, { weights }) => sum + parametersOf(weights), 0);
    return { model, layers: fitting, size };
  });
  return models
    .filter((one) => one.layers > 0)
    .sort((a, b) => b.layers - a.layers || a.size - b.size)
    .map(({ model, layers }) => ({ model, layers }));
}

const parametersOf = ({ tensors }: WeightSet): number =>
  [...tensors.values()].reduce((sum, { shape }) => sum + count(shape), 0);

/** The networks of a published model that adapters change. */
function networksOf(json: { readonly cross_attention_dim: number }): Adaptable[] {
  const config = unetConfig(json);
  const encoders = Object.entries(encodersOf[json.cross_attention_dim]!).map(([name, known]) => {
    const { config: fields, projected } = knownTextEncoders[known];
    const clip = clipConfig(fields, { projected });
    const ids = input("ids", [1, clip.maxTokens], "int64");
    return { name, weights: described((p) => clipText(p, clip, ids)) };
  });
  return [{ name: "unet", config, weights: described((p) => traceUnet(p, config)) }, ...encoders];
}
