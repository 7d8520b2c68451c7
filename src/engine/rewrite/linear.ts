/** @file Rewrites a product with a stored weight, and the bias added to it, as one linear layer: one Gemm. */

import { linear } from "../../tensor/operations.js";
import { made, type Tensor } from "../../tensor/tensor.js";
import { type Graph, rewriteGraph } from "./graph.js";

/** The same results, with linear layers for x wᵀ and x wᵀ + b. */
export const fuseLinear = <G extends Graph>(outputs: G): G =>
  rewriteGraph(outputs, (x) => {
    const [a, b] = x.inputs as [Tensor, Tensor];
    if (made("matmul", x)) return isLayer(x, b) ? linear(a, b) : x;
    if (!made("add", x) || !made("linear", a) || a.inputs.length > 2) return x;
    const [input, weight] = a.inputs as [Tensor, Tensor];
    return made("param", b) && b.rank === 1 && b.shape[0] === weight.shape[0] ? linear(input, weight, b) : x;
  });

const isLayer = ({ attrs }: Tensor<"matmul">, weight: Tensor): boolean =>
  made("param", weight) && weight.rank === 2 && attrs.transposeB && !attrs.transposeA;
