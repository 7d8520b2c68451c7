/** @file Graph rewriting: replaces operations of a traced graph one by one, from the inputs to the results. */

import { topological } from "../../tensor/order.js";
import { type Tensor, withInputs } from "../../tensor/tensor.js";

/** The results of a traced graph by name. */
export type Graph = Readonly<Record<string, Tensor>>;

/** Replaces each tensor by what `replace` returns for it; `replace` is given it on inputs that are replaced already. */
export function rewriteGraph<G extends Graph>(outputs: G, replace: (x: Tensor) => Tensor): G {
  const replaced = new Map<Tensor, Tensor>();
  for (const x of topological(Object.values(outputs))) {
    const inputs = x.inputs.map((y) => replaced.get(y)!);
    replaced.set(x, replace(withInputs(x, inputs)));
  }
  const entries = Object.entries(outputs).map(([name, x]) => [name, replaced.get(x)!]);
  return Object.fromEntries(entries) as G;
}
