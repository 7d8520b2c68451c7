/** @file The order in which ONNX Runtime executes a graph's operations. */

import { topological } from "../../tensor/order.js";
import type { Tensor } from "../../tensor/tensor.js";

/**
 * ONNX Runtime's order: depth first from the results, later ones and later inputs first
 * (`GraphViewer`, by node index).
 */
export function executionOrder(
  roots: readonly Tensor[],
  index: ReadonlyMap<Tensor, number> = new Map(topological(roots).map((x, i) => [x, i])),
): Tensor[] {
  const later = (a: Tensor, b: Tensor) => index.get(a)! - index.get(b)!;
  const stack = roots.toSorted(later).map((x) => ({ x, entered: false }));
  const seen = new Set<Tensor>();
  const order: Tensor[] = [];
  while (stack.length > 0) {
    const top = stack.pop()!;
    if (top.entered) order.push(top.x);
    else if (!seen.has(top.x)) {
      seen.add(top.x);
      stack.push({ x: top.x, entered: true });
      for (const y of top.x.inputs.toSorted(later)) if (!seen.has(y)) stack.push({ x: y, entered: false });
    }
  }
  return order;
}
