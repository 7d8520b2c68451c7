/** @file Topological order of a traced graph. Independent of what the operations are. */

import type { Tensor } from "./tensor.js";

/** Every tensor that `roots` depend on and `roots` themselves, each after its inputs. */
export function topological(roots: readonly Tensor[]): Tensor[] {
  const order: Tensor[] = [];
  const state = new Map<Tensor, "open" | "done">();
  const stack = [...roots].reverse();
  while (stack.length > 0) {
    const t = stack.at(-1)!;
    if (state.get(t) === "done") stack.pop();
    else if (state.get(t) === "open") {
      state.set(t, "done");
      order.push(t);
      stack.pop();
    } else {
      state.set(t, "open");
      for (let i = t.inputs.length - 1; i >= 0; i--) if (!state.has(t.inputs[i]!)) stack.push(t.inputs[i]!);
    }
  }
  return order;
}
