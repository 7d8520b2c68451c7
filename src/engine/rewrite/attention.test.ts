/** @file Attention as matrix products: where it is rewritten, and that its gradient shares its nodes. */

import { describe, expect, it } from "vitest";
import { vjp } from "../../tensor/gradient.js";
import { attention, input } from "../../tensor/operations.js";
import { topological } from "../../tensor/order.js";
import { cpu, standard } from "../device.js";
import { composeAttention } from "./attention.js";
import { eliminateCommonSubexpressions } from "./common-subexpressions.js";
import type { Graph } from "./graph.js";

const q = input("q", [2, 4, 6]);
const k = input("k", [2, 5, 6]);
const y = attention(q, k, k, 3);
const causal = attention(q, q, q, 3, { causal: true });
const operations = (graph: Graph) => topological(Object.values(graph)).map((x) => x.op);

describe("attention", () => {
  it("stays one operation on a device with a fused operator", () => {
    expect(composeAttention({ y }, cpu).y).toBe(y);
  });

  it("becomes two matrix products and a softmax on a device without one", () => {
    const composed = operations(composeAttention({ y }, standard));
    expect(composed).not.toContain("attention");
    expect(composed.filter((op) => op === "matmul" || op === "softmax")).toEqual([
      "matmul",
      "softmax",
      "matmul",
    ]);
  });

  it("with a causal mask is composed on every device", () => {
    expect(operations(composeAttention({ causal }, cpu))).not.toContain("attention");
  });

  it("computes its weights once for the results and the gradients", () => {
    const [dq, dk] = vjp([y], [input("g", y.shape)], [q, k]);
    const step = eliminateCommonSubexpressions(composeAttention({ y, dq: dq!, dk: dk! }, standard));
    expect(operations(step).filter((op) => op === "softmax").length).toBe(1);
  });
});
