/** @file What becomes of frozen weights in a loaded program, for the plan's memory. */

import { eliminateCommonSubexpressions } from "../../engine/rewrite/common-subexpressions.js";
import type { Graph } from "../../engine/rewrite/graph.js";
import { param } from "../../tensor/operations.js";
import { topological } from "../../tensor/order.js";
import { count, made, type Tensor, withInputs } from "../../tensor/tensor.js";

/**
 * The graph as ONNX Runtime keeps it: what is computed from frozen weights alone, such as a kernel in Winograd's form, is
 * computed when the program is loaded. `bytes` is what they then take, in float32.
 */
export function foldedWeights<G extends Graph>(
  outputs: G,
  isTrained: (path: string) => boolean,
): { graph: G; bytes: number } {
  const given = eliminateCommonSubexpressions(outputs);
  const copies = new Map<Tensor, Tensor>();
  /** Frozen weights and what is computed from them alone; of these, what the rest of the graph reads. */
  const known = new Set<Tensor>();
  const kept = new Map<Tensor, Tensor>();
  const keptOf = (x: Tensor): Tensor => {
    const leaf = kept.get(x) ?? (made("param", x) ? x : param(`folded ${kept.size}`, x.shape));
    kept.set(x, leaf);
    return leaf;
  };
  for (const x of topological(Object.values(given))) {
    const isFrozen = made("param", x) && !isTrained(x.attrs.path);
    const isFolded =
      x.inputs.some((y) => known.has(y)) && x.inputs.every((y) => known.has(y) || made("constant", y));
    if (isFrozen || isFolded) known.add(x);
    else
      copies.set(
        x,
        withInputs(
          x,
          x.inputs.map((y) => (known.has(y) ? keptOf(y) : copies.get(y)!)),
        ),
      );
  }
  const bytes = [...kept.keys()].reduce((sum, { shape }) => sum + 4 * count(shape), 0);
  const graph = Object.fromEntries(Object.entries(given).map(([name, x]) => [name, copies.get(x) ?? x]));
  return { graph: graph as G, bytes };
}
