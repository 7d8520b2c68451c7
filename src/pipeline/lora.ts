/** @file Matches LoRA files with the networks that they change; `weight-changes.ts` adds them when one is loaded. */

import path from "node:path";
import { InvalidRequest, listed, ModelError } from "../errors.js";
import { flatClipName } from "../models/clip.js";
import { sgmNames } from "../models/sgm.js";
import type { UNetConfig } from "../models/unet-config.js";
import { show } from "../tensor/tensor.js";
import type { WeightSet } from "../weights/component.js";
import { isFloatDtype } from "../weights/dtype.js";
import { type LoraFile, type LoraLayer, openLora } from "../weights/lora.js";
import type { LowRank, WeightChanges } from "./weight-changes.js";

/** A LoRA to generate with: W + scale * alpha / rank * up @ down (Hu et al., arXiv 2106.09685). */
export type Lora = {
  /** A .safetensors file in the naming of Diffusers, PEFT or kohya, the folder of one, or its name on the Hub. */
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
  const changes = new Map(networks.map(({ name }) => [name, new Map<string, LowRank[]>()]));
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
      checkShapes(file, layer, name, sets.get(layer.part)!.tensors.get(name)!.shape);
      if (scale === 0) continue;
      const ofNetwork = changes.get(layer.part)!;
      const { down, up } = layer;
      ofNetwork.set(name, [...(ofNetwork.get(name) ?? []), { file, down, up, scale: scale * layer.scale }]);
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

function warnOfUnused(
  file: string,
  { layers, embeddings }: LoraFile,
  fitting: FittingLayers,
  warn: (message: string) => void,
): void {
  const name = path.basename(file);
  const absent = layers.filter((layer) => !fitting.has(layer)).map(({ key }) => key);
  if (absent.length > 0) {
    const which = `${absent.length} of its ${layers.length} layers are not in this model and were left out`;
    warn(`${name}: ${which}: ${listed(absent, 2)}; it was trained for another model`);
  }
  if (embeddings.length > 0) {
    warn(`${name}: embeddings are not supported, so ${listed(embeddings)} was left out; its layers are used`);
  }
}

/** The weight of each layer that a LoRA may change, by the layer's path with "_" for ".", in every naming. */
export function layerNames({ weights, config }: Adaptable): ReadonlyMap<string, string> {
  const names = new Map<string, string>();
  const other = config ? sgmNames(config) : flatClipName;
  for (const [name, { shape }] of weights.tensors) {
    if (!name.endsWith(".weight") || shape.length < 2) continue;
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

/** A LoRA of a 1x1 convolution may be given as that of a matrix, and the other way round. */
function hasShape({ down, up }: LoraLayer, weight: readonly number[]): boolean {
  const rank = down.shape[0] ?? 0;
  const plain = (shape: readonly number[]) => [...shape, 1, 1].slice(0, 4).join();
  return (
    rank > 0 &&
    plain(down.shape) === plain([rank, ...weight.slice(1)]) &&
    plain(up.shape) === plain([weight[0]!, rank])
  );
}

function checkShapes(file: string, layer: LoraLayer, name: string, weight: readonly number[]): void {
  const { key, down, up } = layer;
  if (!hasShape(layer, weight)) {
    const rule = `${key}: must fit ${name} of ${show(weight)}`;
    const got = `got down ${show(down.shape)} and up ${show(up.shape)}`;
    throw new ModelError(file, `${rule}, ${got}. Use a LoRA that was trained for this model.`, {
      unexpected: [key],
    });
  }
  const odd = [down, up].find(({ dtype }) => !isFloatDtype(dtype));
  if (odd) throw new ModelError(file, `${key}: must be of a float dtype, got ${odd.dtype}.`);
}
