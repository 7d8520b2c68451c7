/** @file Matches LoRA files with the networks that they change; `weight-changes.ts` adds them when one is loaded. */

import { InvalidRequest, listed, ModelError } from "../errors.js";
import path from "../files/path.js";
import { flatClipName } from "../models/clip.js";
import { sgmNames } from "../models/sgm.js";
import type { UNetConfig } from "../models/unet-config.js";
import { count, show } from "../tensor/tensor.js";
import { adapterKinds } from "../weights/adapter-kinds.js";
import type { WeightSet } from "../weights/component.js";
import { isFloatDtype } from "../weights/dtype.js";
import { type LoraFile, type LoraLayer, openLora, shapesOf } from "../weights/lora.js";
import type { WeightChange, WeightChanges } from "./weight-changes.js";

/**
 * A LoRA to generate with, W + scale * alpha / rank * up @ down (Hu et al., arXiv 2106.09685), or another kind of adapter:
 * LoCon, LoHa, LoKr, DoRA, full differences of weights, norms and biases.
 */
export type Lora = {
  /**
   * A .safetensors file in the naming of Diffusers, PEFT, kohya or OneTrainer, the folder of one, or its name on the Hub.
   */
  file: string;
  /** 1 if left out; 0 leaves the model as it is. */
  scale?: number;
};

/** A network that LoRAs may change; `config` if it is a U-Net. */
export type Adaptable = { name: string; weights: WeightSet; config?: UNetConfig };

/**
 * What `loras` together add to the weights of each network, by its name. Warns of layers that the networks lack,
 * as those of SDXL that KOALA was cut from, and of what else is not used. ModelError for a file of which nothing fits, or
 * one of whose layers has another shape.
 */
export async function loraChanges(
  loras: readonly Lora[],
  networks: readonly Adaptable[],
  warn: (message: string) => void,
): Promise<ReadonlyMap<string, WeightChanges>> {
  const sets = new Map(networks.map(({ name, weights }) => [name, weights]));
  const changes = new Map(networks.map(({ name }) => [name, new Map<string, WeightChange[]>()]));
  for (const { file, scale = 1 } of loras) {
    if (!Number.isFinite(scale)) {
      throw new InvalidRequest(
        "loras",
        scale,
        `scale: must be a finite number, got ${scale}. 1 is as trained.`,
      );
    }
    const opened = await openLora(file);
    const fitting = fittingLayers(file, opened, networks);
    warnOfUnused(file, opened, fitting, warn);
    for (const [layer, name] of fitting) {
      const { tensors } = sets.get(layer.part)!;
      checkShapes(file, layer, name, tensors);
      if (scale === 0) continue;
      const ofNetwork = changes.get(layer.part)!;
      const push = (weight: string, change: WeightChange) =>
        ofNetwork.set(weight, [...(ofNetwork.get(weight) ?? []), change]);
      if (changesWeight(layer)) push(name, { file, layer, strength: scale });
      if (layer.bias) {
        const { entry, scaled } = layer.bias;
        push(biasOf(name), { file, added: entry, factor: scaled ? scale * layer.scale : scale });
      }
    }
  }
  return changes;
}

/** The layers that the networks have, each with the name of its weight. */
type FittingLayers = ReadonlyMap<LoraLayer, string>;

function fittingLayers(
  file: string,
  { layers, unknown }: LoraFile,
  networks: readonly Adaptable[],
): FittingLayers {
  const fitting = new Map(networks.flatMap((network) => bestFit(layers, network)));
  const unfitting = [...unknown, ...(fitting.size === 0 ? layers.map(({ key }) => key) : [])];
  if (unfitting.length === 0) return fitting;
  const problem = `${unfitting.length} keys, of ${layers.length} layers, fit nothing in this model: ${listed(unfitting, 3)}`;
  throw new ModelError(file, `${problem}. Use a LoRA that was trained for this model.`, {
    unexpected: unfitting,
  });
}

const changesWeight = ({ tensors }: LoraLayer): boolean => Object.keys(tensors).length > 0;

/** The bias of a layer, by its weight. */
const biasOf = (weight: string): string => weight.replace(/weight$/, "bias");

type Fit = readonly (readonly [LoraLayer, string])[];

/** The layers that one network has, by that way of counting blocks by which most of them fit. */
function bestFit(layers: readonly LoraLayer[], network: Adaptable): Fit {
  const own = layers.filter(({ part }) => part === network.name);
  const { tensors } = network.weights;
  const misshapen = (fit: Fit) =>
    fit.filter(([layer, name]) => !hasShape(layer, tensors.get(name)!.shape)).length;
  const fits = numberingsOf(network).map(
    (names): Fit =>
      own.flatMap((layer) => {
        const name = names.get(layer.path);
        return name === undefined ? [] : [[layer, name] as const];
      }),
  );
  return fits.sort((a, b) => misshapen(a) - misshapen(b) || b.length - a.length)[0]!;
}

/** How many of these layers a network has, in the shapes of their changes. */
export const fittingCount = (layers: readonly LoraLayer[], network: Adaptable): number =>
  bestFit(layers, network).filter(([layer, name]) =>
    hasShape(layer, network.weights.tensors.get(name)!.shape),
  ).length;

function warnOfUnused(
  file: string,
  { layers, embeddings, notes }: LoraFile,
  fitting: FittingLayers,
  warn: (message: string) => void,
): void {
  const name = path.basename(file);
  for (const note of notes) warn(`${name}: ${note}`);
  const absent = layers.filter((layer) => !fitting.has(layer)).map(({ key }) => key);
  if (absent.length > 0) {
    const which = `${absent.length} of its ${layers.length} layers are not in this model and were left out`;
    warn(`${name}: ${which}: ${listed(absent, 2)}; it was trained for another model`);
  }
  if (embeddings.length > 0) {
    const remedy = `give it as an embedding too, under that name, to use ${embeddings.length === 1 ? "it" : "them"}`;
    warn(`${name}: its embedding ${listed(embeddings)} was left out, and its layers are used; ${remedy}`);
  }
}

/** The weight of each layer that a LoRA may change, by the layer's path with "_" for ".", in every naming. */
export function layerNames({ weights, config }: Adaptable): ReadonlyMap<string, string> {
  const names = new Map<string, string>();
  const other = config ? sgmNames(config) : flatClipName;
  for (const name of weights.tensors.keys()) {
    if (!name.endsWith(".weight")) continue;
    const path = name.slice(0, -".weight".length);
    for (const known of [path, other(path)]) if (known) names.set(known.replaceAll(".", "_"), name);
  }
  return names;
}

/**
 * sgm's names count blocks through, so they depend on how many there are: in the model itself, or in SDXL, which it was
 * cut from. A LoRA says nowhere which it counts.
 */
function numberingsOf(network: Adaptable): ReadonlyMap<string, string>[] {
  const own = layerNames(network);
  const { config } = network;
  if (!config?.added) return [own];
  const resized = (stages: UNetConfig["down"], resnets: number) =>
    stages.map((stage) => ({ ...stage, resnets }));
  const whole = { ...config, down: resized(config.down, 2), up: resized(config.up, 3) };
  return [own, layerNames({ ...network, config: whole })];
}

/**
 * A change of a 1x1 convolution may be given as that of a matrix, and the other way round; LoHa's of a convolution as that of
 * a matrix of [out, in * height * width].
 */
function hasShape(layer: LoraLayer, weight: readonly number[]): boolean {
  if (!changesWeight(layer)) return true;
  const { kind, tensors, magnitude } = layer;
  const shape = adapterKinds[kind].shape(shapesOf(tensors));
  if (shape === undefined || !magnitudeFits(magnitude, weight)) return false;
  const plain = (sizes: readonly number[]) => [...sizes, 1, 1].slice(0, Math.max(4, sizes.length)).join();
  const [out, ...rest] = weight;
  const flat = [out, count(rest)];
  return plain(shape) === plain(weight) || (kind === "loha" && shape.join() === flat.join());
}

/** [out, 1...] or [1, in, 1...]; PEFT's has `out` numbers in any shape. */
function magnitudeFits(magnitude: LoraLayer["magnitude"], weight: readonly number[]): boolean {
  const [out, columns] = weight;
  if (!magnitude) return true;
  const { shape } = magnitude.entry;
  const [first, second = 1, ...rest] = shape;
  if (columns === undefined) return false;
  if (magnitude.of === "peft") return count(shape) === out;
  return (
    rest.every((size) => size === 1) && (first === out ? second === 1 : first === 1 && second === columns)
  );
}

/** ModelError if a layer's tensors do not fit the weights that they change. */
function checkShapes(file: string, layer: LoraLayer, name: string, weights: WeightSet["tensors"]): void {
  const { key, tensors, magnitude, bias } = layer;
  const all = Object.entries({ ...tensors, magnitude: magnitude?.entry, bias: bias?.entry });
  const given = all.flatMap(([role, entry]) => (entry ? [[role, entry] as const] : []));
  const fail = (rule: string): never => {
    throw new ModelError(file, `${key}: ${rule}`, { unexpected: [key] });
  };
  const { shape: weight } = weights.get(name)!;
  if (!hasShape(layer, weight)) {
    const got = given.map(([role, { shape }]) => `${role} ${show(shape)}`).join(" and ");
    fail(`must fit ${name} of ${show(weight)}, got ${got}. Use a LoRA that was trained for this model.`);
  }
  const odd = given.find(([, { dtype }]) => !isFloatDtype(dtype));
  if (odd) fail(`must be of a float dtype, got ${odd[1].dtype}.`);
  if (!bias) return;
  const own = weights.get(biasOf(name));
  if (!own) fail(`must change a bias, got a layer without one: ${name}. Use an adapter without biases.`);
  else if (own.shape.join() !== bias.entry.shape.join())
    fail(
      `must fit ${biasOf(name)} of ${show(own.shape)}, got ${show(bias.entry.shape)}. Use an adapter of this model.`,
    );
}
