/** @file Counts a network's weights and multiply-accumulates from its traced graph. */

import type { OpsOfKind } from "../tensor/kinds.js";
import { type Attributes, count, type Op, type Shape, type Tensor } from "../tensor/tensor.js";

/** Number of weights in what `manifest` lists. */
export function parameters(manifest: ReadonlyMap<string, Shape>): number {
  let total = 0;
  for (const shape of manifest.values()) total += count(shape);
  return total;
}

/**
 * Multiply-accumulates of one run of the graph behind `outputs`: matrix products, convolutions and both products of
 * attention (queries by keys, weights by values). Normalisations and activations are not counted. Products with padding
 * and with masked keys are, because they are computed. Profilers that count modules (thop) leave attention's
 * products out: subtract `attention` of `macsByOp` to compare.
 */
export function macs(outputs: readonly Tensor[]): number {
  return [...macsByOp(outputs).values()].reduce((a, b) => a + b, 0);
}

/** The multiply-accumulates of `macs`, by kind of operation. */
export function macsByOp(outputs: readonly Tensor[]): Map<Op, number> {
  const totals = new Map<Op, number>();
  // Iterating a Set includes what is added meanwhile, so this visits each tensor of the graph once.
  const graph = new Set(outputs);
  for (const t of graph) {
    for (const x of t.inputs) graph.add(x);
    const n = macsOf(t);
    if (n > 0) totals.set(t.op, (totals.get(t.op) ?? 0) + n);
  }
  return totals;
}

type Rule<O extends Op> = (t: Tensor<O>, attrs: Attributes[O]) => number;

const macsOf = <O extends Op>(t: Tensor<O>): number =>
  (rules as { readonly [P in Op]?: Rule<P> })[t.op]?.(t, t.attrs) ?? 0;

const rules: { readonly [O in OpsOfKind<{ computes: "products" }>]: Rule<O> } = {
  matmul: (t, { transposeA }) => count(t.shape) * t.inputs[0]!.shape.at(transposeA ? -2 : -1)!,
  linear: (t) => count(t.shape) * t.inputs[1]!.shape[1]!,
  quantizedLinear: (t) => count(t.shape) * t.inputs[0]!.shape.at(-1)!,
  rowQuantizedLinear: (t) => count(t.shape) * t.inputs[0]!.shape.at(-1)!,
  conv2d: (t) => count(t.shape) * count(t.inputs[1]!.shape.slice(1)),
  rowQuantizedConv2d: (t) => count(t.shape) * t.inputs[1]!.shape[0]!,
  winogradConv2d: ({ shape, inputs: [, w] }, { tile }) =>
    (count(shape) * w!.shape[1]! * (tile + 2) ** 2) / tile ** 2,
  conv2dTranspose: ({ inputs: [g, w] }) => count(g!.shape) * count(w!.shape.slice(1)),
  conv2dKernel: ({ shape, inputs: [g] }) => count(g!.shape) * count(shape.slice(1)),
  attention: (t) => 2 * count(t.shape) * t.inputs[1]!.shape[1]!,
};
