/** @file The tensors of a LoRA that is trained, their initial values, and the weights beside them. */

import { closest } from "../../closest.js";
import { Generator } from "../../diffusion/random.js";
import type { Device } from "../../engine/device.js";
import type { Values } from "../../engine/engine.js";
import { InvalidRequest, listed } from "../../errors.js";
import { checkWeightShapes, type WeightsInFiles, weightsInFiles } from "../../pipeline/component.js";
import type { Params } from "../../tensor/params.js";
import type { Tensor } from "../../tensor/tensor.js";
import { readFloats, type WeightSet } from "../../weights/component.js";
import type { ParameterBuffer } from "../parameter-buffer.js";
import { randomWeight } from "../random-weights.js";
import { loraB, trainedParams } from "./adapter.js";
import { type LoraOptions, stepTargets } from "./options.js";

/** The weights of a network by path: those that are trained, and those that are not. */
export type TracedWeights = { trained: Map<string, Tensor>; frozen: Map<string, Tensor> };

/** Traces a network for its weights. InvalidRequest for a target that it lacks. */
export function tracedWeights(network: (p: Params) => unknown, lora: LoraOptions | null): TracedWeights {
  const [trained, frozen] = [new Map<string, Tensor>(), new Map<string, Tensor>()];
  network(trainedParams(lora, trained, frozen));
  const weights = { trained, frozen };
  if (lora) checkTargets(lora, weights);
  return weights;
}

/**
 * InvalidRequest for a target that no layer has, which would be left out unsaid; the usual ones are those of several
 * networks.
 */
export function checkTargets({ targets }: LoraOptions, { trained, frozen }: TracedWeights): void {
  const adapted = [...trained.keys()];
  const absent = (name: string) => !adapted.some((path) => `.${path}`.includes(`.${name}.lora_`));
  const usual: readonly string[] = stepTargets;
  const unknown = targets.find((name) => absent(name) && !usual.includes(name));
  if (unknown === undefined && adapted.length > 0) return;
  const layers = [...frozen.keys()]
    .filter((path) => path.endsWith(".weight"))
    .map((path) => path.split(".").slice(0, -1));
  const ends = [...new Set(layers.flatMap((names) => [names.at(-1)!, names.slice(-2).join(".")]))];
  const near = unknown === undefined ? undefined : closest(unknown, ends);
  const rule = `must name layers of the network, got ${listed(unknown === undefined ? [...targets] : [unknown])}.`;
  throw new InvalidRequest("lora.targets", targets, near ? `${rule} Did you mean "${near}"?` : rule);
}

/** The weights that a LoRA is trained beside: where they lie, and as float32 in memory, read once. */
export type FrozenWeights = WeightsInFiles & { inMemory(): Promise<Record<string, Values>> };

/** Those of a network; undefined where all are trained. ModelError if a file lacks one. */
export function frozenWeights(
  { weights, file }: { weights: WeightSet; file: string },
  { frozen }: TracedWeights,
): FrozenWeights | undefined {
  if (frozen.size === 0) return undefined;
  checkWeightShapes(file, frozen, weights);
  let held: Promise<Record<string, Values>> | undefined;
  const read = async () => {
    const values: Record<string, Values> = {};
    for (const [name, { shape }] of frozen) values[name] = { data: await readFloats(weights, name), shape };
    return values;
  };
  return { ...weightsInFiles(weights, frozen.keys()), inMemory: () => (held ??= read()) };
}

/**
 * How programs that take turns get frozen weights. Each would hold those of its files for itself, so on the CPU they are
 * `inputs`, in memory once for all; on a device, where they would be sent at each run, they are read from `files`.
 */
export async function sharedWeights(
  { provider }: Device,
  frozen: FrozenWeights | undefined,
): Promise<{ files: WeightsInFiles | undefined; inputs: Record<string, Values> }> {
  if (frozen === undefined || provider !== "cpu") return { files: frozen, inputs: {} };
  return { files: undefined, inputs: await frozen.inMemory() };
}

/** As PEFT begins: A uniform as a layer's own weights are (He et al. 2015, a = sqrt(5)), B zeros, which change nothing. */
export function initialiseLora(weights: Float32Array, layout: ParameterBuffer, seed: number): void {
  const shapes = new Map([...layout.slices].map(([path, { shape }]) => [path, shape]));
  const generator = new Generator(seed);
  for (const path of shapes.keys()) {
    const own = layout.view(weights, path);
    if (path.endsWith(loraB)) own.fill(0);
    else own.set(randomWeight(path, shapes, generator));
  }
}
