/**
 * @file Common subexpression elimination, as ONNX Runtime does it when it loads a program: equal operations on equal
 * inputs become one.
 */

import { made, type Tensor } from "../../tensor/tensor.js";
import { type Graph, rewriteGraph } from "./graph.js";

export function eliminateCommonSubexpressions<G extends Graph>(outputs: G): G {
  const known = new Map<string, Tensor>();
  const ids = new Map<Tensor, number>();
  return rewriteGraph(outputs, (x) => {
    const key = keyOf(x, ids);
    const equal = key === undefined ? undefined : known.get(key);
    if (equal) return equal;
    ids.set(x, ids.size);
    if (key !== undefined) known.set(key, x);
    return x;
  });
}

/** Equal for equal operations; undefined for a large constant, which is compared with no other. */
function keyOf(x: Tensor, ids: ReadonlyMap<Tensor, number>): string | undefined {
  if (made("constant", x))
    return x.attrs.data.length > 64 ? undefined : `${x.dtype}${x.shape.join()}:${x.attrs.data.join()}`;
  return `${x.op}${x.dtype}${JSON.stringify(x.attrs)}(${x.inputs.map((y) => ids.get(y)).join()})`;
}
