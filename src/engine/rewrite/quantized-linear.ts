/**
 * @file Rewrites products with a stored weight as products with its quantised form, eight bits a number. Which weights
 * can be is read from the graph.
 *
 * Layers that see one row per image, such as those of the time embedding, change every pixel and cost nothing, so they
 * stay as they are, as do convolutions, which are the first and the last layer.
 */

import { param, quantizedLinear, rowQuantizedLinear } from "../../tensor/operations.js";
import { topological } from "../../tensor/order.js";
import { made, type Shape, Tensor } from "../../tensor/tensor.js";
import { blockOf, scalesName } from "../../weights/quantize.js";
import type { QuantizedFormat } from "../device.js";
import { type Graph, rewriteGraph } from "./graph.js";

/** The weights of linear layers over tokens that no other operation reads, by path: [N, K]. */
export function quantizableWeights(outputs: Graph): Map<string, Shape> {
  const found = new Map<string, Shape>();
  const others = new Set<string>();
  for (const x of topological(Object.values(outputs)))
    for (const [i, y] of x.inputs.entries()) {
      if (!made("param", y)) continue;
      const { path } = y.attrs;
      if (i === 1 && made("matmul", x) && isLayer(x, y)) found.set(path, y.shape);
      else others.add(path);
    }
  for (const path of others) found.delete(path);
  return found;
}

function isLayer({ inputs, attrs }: Tensor<"matmul">, weight: Tensor): boolean {
  const overTokens = inputs[0]!.rank > 2;
  const stored = weight.rank === 2 && attrs.transposeB && !attrs.transposeA;
  return overTokens && stored && blockOf(weight.shape[1]!) !== undefined;
}

/** The same results, but for rounding, with those weights quantised that `isQuantized` names. */
export const quantizeLinear = <G extends Graph>(
  outputs: G,
  format: QuantizedFormat,
  isQuantized: (path: string) => boolean,
): G =>
  rewriteGraph(outputs, (x) => {
    const [a, b] = x.inputs as [Tensor, Tensor];
    const { layer, op, codes } = forms[format];
    if (made("matmul", x) && made("param", b) && isQuantized(b.attrs.path))
      return layer(a, ...codes(b.attrs.path, b.shape as [number, number]));
    if (!made("add", x) || !made(op, a) || a.inputs.length > 3) return x;
    const [input, ...weight] = a.inputs as [Tensor, Tensor, Tensor];
    const isBias = made("param", b) && b.rank === 1 && b.shape[0] === a.shape.at(-1);
    return isBias ? layer(input, ...weight, b) : x;
  });

type Form = {
  op: "quantizedLinear" | "rowQuantizedLinear";
  layer: typeof quantizedLinear;
  /** The codes and factors of a weight [N, K]. */
  codes: (path: string, shape: readonly [number, number]) => [codes: Tensor, scales: Tensor];
};

const forms: Readonly<Record<QuantizedFormat, Form>> = {
  int8: {
    op: "quantizedLinear",
    layer: quantizedLinear,
    codes: (path, [N, K]) => {
      const block = blockOf(K)!;
      const codes = new Tensor("param", [], [N, K / block, block], { path }, "uint8");
      return [codes, param(scalesName(path), [N, K / block])];
    },
  },
  "int8-fast": {
    op: "rowQuantizedLinear",
    layer: rowQuantizedLinear,
    codes: (path, [N, K]) => [
      new Tensor("param", [], [K, N], { path }, "int8"),
      param(scalesName(path), [N]),
    ],
  },
};
