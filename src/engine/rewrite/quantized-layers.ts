/**
 * @file Rewrites products and convolutions with a stored weight as those with its quantised form, eight bits a number.
 * Which weights can be is read from the graph.
 *
 * Layers that see one row per image, such as those of the time embedding, change every pixel and cost nothing, so they
 * stay as they are, as do the convolutions from and to the few channels of latents, which are the first and the last layer.
 */

import { quantizedLinear, rowQuantizedConv2d, rowQuantizedLinear } from "../../tensor/lowered-operations.js";
import { param } from "../../tensor/operations.js";
import { topological } from "../../tensor/order.js";
import { made, type Shape, Tensor } from "../../tensor/tensor.js";
import { blockOf, scalesName } from "../../weights/quantize.js";
import type { QuantizedFormat } from "../device.js";
import { type Graph, rewriteGraph } from "./graph.js";

/**
 * The weights that are quantised in a format, by path: of linear layers over tokens, [N, K], and of convolutions,
 * [O, C, kh, kw], that no other operation reads.
 */
export function quantizableWeights(outputs: Graph, format: QuantizedFormat): Map<string, Shape> {
  const found = new Map<string, Shape>();
  const others = new Set<string>();
  for (const x of topological(Object.values(outputs)))
    for (const [i, y] of x.inputs.entries()) {
      if (!made("param", y)) continue;
      const { path } = y.attrs;
      const quantizable = made("matmul", x)
        ? isLayer(x, y)
        : made("conv2d", x) && forms[format].convolution !== undefined && isWide(y);
      if (i === 1 && quantizable) found.set(path, y.shape);
      else if (!(i === 2 && made("conv2d", x))) others.add(path);
    }
  for (const path of others) found.delete(path);
  return found;
}

function isLayer({ inputs, attrs }: Tensor<"matmul">, weight: Tensor): boolean {
  const overTokens = inputs[0]!.rank > 2;
  const stored = weight.rank === 2 && attrs.transposeB && !attrs.transposeA;
  return overTokens && stored && blockOf(weight.shape[1]!) !== undefined;
}

/** Not from or to latents, or in a tiny network. */
const isWide = ({ shape: [O, C] }: Tensor): boolean => Math.min(O!, C!) >= 16;

/** The same results, but for rounding, with those weights quantised that `isQuantized` names. */
export const quantizeLayers = <G extends Graph>(
  outputs: G,
  format: QuantizedFormat,
  isQuantized: (path: string) => boolean,
): G =>
  rewriteGraph(outputs, (x) => {
    const [a, b] = x.inputs as [Tensor, Tensor];
    const { layer, op, codes, convolution } = forms[format];
    if (made("matmul", x) && made("param", b) && isQuantized(b.attrs.path))
      return layer(a, ...codes(b.attrs.path, b.shape as [number, number]));
    if (made("conv2d", x) && convolution && made("param", b) && isQuantized(b.attrs.path))
      return convolution(x, b);
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
  /** The convolution with its kernel quantised; left out where convolutions stay as they are. */
  convolution?: (x: Tensor<"conv2d">, kernel: Tensor<"param">) => Tensor;
};

const rowCodes: Form["codes"] = (path, [N, K]) => [
  new Tensor("param", [], [K, N], { path }, "int8"),
  param(scalesName(path), [N]),
];

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
    codes: rowCodes,
    convolution: ({ inputs: [x, , bias], attrs }, { attrs: { path }, shape }) => {
      const [O, C, ...kernel] = shape as [number, number, number, number];
      const [codes, scales] = rowCodes(path, [O, C * kernel[0] * kernel[1]]);
      return rowQuantizedConv2d(x!, [codes, scales, bias], { kernel, ...attrs });
    },
  },
};
