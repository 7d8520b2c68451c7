/**
 * @file Takes out of a graph what its device leaves to the host: sinusoidal embeddings, and rows of embedding tables.
 * Each becomes an input that the session fills in by itself (`host-values.ts`), so callers give the same inputs anyway.
 */

import { made, Tensor } from "../../tensor/tensor.js";
import type { Device } from "../device.js";
import { type Graph, rewriteGraph } from "./graph.js";

export function hostInputs<G extends Graph>(outputs: G, device: Device): G {
  let count = 0;
  return rewriteGraph(outputs, (x) => (isHosts(x, device) ? input(`host_${count++}`, x) : x));
}

function isHosts(x: Tensor, { hostSinusoids, hostTokenLookup }: Device): boolean {
  if (made("sin", x) || made("cos", x)) return hostSinusoids && isGiven(x.inputs[0]!);
  const [table, ids] = x.inputs;
  return hostTokenLookup && made("gather", x) && made("param", table!) && made("input", ids!);
}

/** Whether it is computed from inputs and constants alone, by what the host computes. */
const isGiven = (x: Tensor): boolean =>
  made("constant", x) ||
  (made("input", x) && x.attrs.host === undefined && x.dtype === "float32") ||
  ((made("reshape", x) || made("mul", x)) && x.inputs.every(isGiven));

/** An input of the shape of `x`, open along all its axes but the last where any input behind `x` is open. */
function input(name: string, x: Tensor): Tensor {
  const isOpen = (y: Tensor): boolean =>
    made("input", y) ? y.attrs.open.some((o) => o !== undefined) : y.inputs.some(isOpen);
  const open = x.shape.map((_, i) => (i < x.rank - 1 && isOpen(x) ? `${name}_${i}` : undefined));
  return new Tensor("input", [], x.shape, { name, open, host: x }, x.dtype);
}
