/** @file LoRA files are matched with the networks they change; `fuse.ts` adds them when a network is loaded. */

import { InvalidRequest, listed, ModelError } from "../errors.js";
import { sgmNames } from "../models/sgm.js";
import type { UNetConfig } from "../models/unet-config.js";
import { show } from "../tensor/tensor.js";
import type { WeightSet } from "../weights/component.js";
import { isFloatDtype } from "../weights/dtype.js";
import { type LoraLayer, openLora } from "../weights/lora.js";
import type { LowRank, WeightChanges } from "./fuse.js";

/** A LoRA to paint with: W + scale * alpha / rank * up @ down (Hu et al., arXiv 2106.09685). */
export type Lora = {
  /** A .safetensors file in the naming of Diffusers, PEFT or kohya. */
  file: string;
  /** 1 if left out; 0 leaves the model as it is. */
  scale?: number;
};

/** A network that LoRAs may change; `config` if it is a U-Net. */
export type Adaptable = { name: string; weights: WeightSet; config?: UNetConfig };

/**
 * What `loras` together add to the weights of each network, by its name. ModelError names the layers of a file that fit
 * none of them, or that have another shape.
 */
export async function loraChanges(
  loras: readonly Lora[],
  networks: readonly Adaptable[],
): Promise<ReadonlyMap<string, WeightChanges>> {
  const tables = new Map(networks.map((network) => [network.name, layerNames(network)]));
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
    const { layers, unknown } = await openLora(file);
    const nameOf = ({ part, path }: LoraLayer) => tables.get(part)?.get(path);
    refuseUnfitting(file, [...unknown, ...layers.filter((l) => !nameOf(l)).map((l) => l.key)], layers.length);
    for (const layer of layers) {
      const name = nameOf(layer)!;
      checkShapes(file, layer, name, sets.get(layer.part)!.tensors.get(name)!.shape);
      if (scale === 0) continue;
      const ofNetwork = changes.get(layer.part)!;
      const { down, up } = layer;
      ofNetwork.set(name, [...(ofNetwork.get(name) ?? []), { down, up, scale: scale * layer.scale }]);
    }
  }
  return changes;
}

/** The weight of each layer that a LoRA may change, by the layer's path with "_" for ".", in every naming. */
export function layerNames({ weights, config }: Adaptable): ReadonlyMap<string, string> {
  const names = new Map<string, string>();
  const sgm = config ? sgmNames(config) : () => undefined;
  for (const [name, { shape }] of weights.tensors) {
    if (!name.endsWith(".weight") || shape.length < 2) continue;
    const path = name.slice(0, -".weight".length);
    for (const known of [path, sgm(path)]) if (known) names.set(known.replaceAll(".", "_"), name);
  }
  return names;
}

function refuseUnfitting(file: string, keys: readonly string[], layers: number): void {
  if (keys.length === 0) return;
  const problem = `${keys.length} keys, of ${layers} layers, fit nothing in this model: ${listed(keys, 3)}`;
  throw new ModelError(file, `${problem}. Use a LoRA that was trained for this model.`, {
    unexpected: [...keys],
  });
}

/** A LoRA of a 1x1 convolution may be given as that of a matrix, and the other way round. */
function checkShapes(
  file: string,
  { key, down, up }: LoraLayer,
  name: string,
  weight: readonly number[],
): void {
  const rank = down.shape[0] ?? 0;
  const plain = (shape: readonly number[]) => [...shape, 1, 1].slice(0, 4).join();
  const fits =
    rank > 0 &&
    plain(down.shape) === plain([rank, ...weight.slice(1)]) &&
    plain(up.shape) === plain([weight[0]!, rank]);
  if (!fits) {
    const rule = `${key}: must fit ${name} of ${show(weight)}`;
    const got = `got down ${show(down.shape)} and up ${show(up.shape)}`;
    throw new ModelError(file, `${rule}, ${got}. Use a LoRA that was trained for this model.`, {
      unexpected: [key],
    });
  }
  const odd = [down, up].find(({ dtype }) => !isFloatDtype(dtype));
  if (odd) throw new ModelError(file, `${key}: must be of a float dtype, got ${odd.dtype}.`);
}
