/** @file Random initial weights, from the distributions of PyTorch's modules. */

import type { Generator } from "../diffusion/random.js";
import { count, type Shape } from "../tensor/tensor.js";
import type { ParameterBuffer } from "./parameter-buffer.js";

/** Diffusers' networks keep PyTorch's defaults; Transformers draws CLIP's two tables with this deviation. */
const embeddingDeviation = 0.02;

/**
 * Initial values of the weight at `path`. Matrices, kernels and their biases are uniform within 1 / sqrt(fan
 * in) (He et al. 2015 with PyTorch's a = sqrt(5)), normalisations begin as the identity, CLIP's tables of
 * tokens and positions normal. `shapes` is the whole manifest, because a bias is drawn by its weight's shape.
 */
export function randomWeight(
  path: string,
  shapes: ReadonlyMap<string, Shape>,
  generator: Generator,
): Float32Array {
  const shape = shapes.get(path);
  if (!shape) throw new Error(`internal: the manifest has no ${path}`);
  const size = count(shape);
  if (/(token|position)_embedding\.weight$/.test(path)) {
    return generator.normal(size).map((x) => x * embeddingDeviation);
  }
  const weight = shapes.get(path.replace(/bias$/, "weight")) ?? shape;
  if (weight.length === 1) return new Float32Array(size).fill(path.endsWith("weight") ? 1 : 0);
  const bound = 1 / Math.sqrt(count(weight.slice(1)));
  const values = new Float32Array(size);
  for (let i = 0; i < size; i++) values[i] = bound * (((generator.random32() & 0xffffff) / 2 ** 24) * 2 - 1);
  return values;
}

/** Initial values of every weight of a layout, drawn in the order of `shapes`. */
export function randomWeights(
  layout: ParameterBuffer,
  shapes: ReadonlyMap<string, Shape>,
  generator: Generator,
): Float32Array {
  const weights = new Float32Array(layout.total);
  for (const path of shapes.keys()) layout.view(weights, path).set(randomWeight(path, shapes, generator));
  return weights;
}
