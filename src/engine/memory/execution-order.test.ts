/** @file The predicted order of execution. */

import { describe, expect, it } from "vitest";
import { input, matmul, neg } from "../../tensor/operations.js";
import { executionOrder } from "./execution-order.js";

describe("the order of execution", () => {
  it("computes the later input first", () => {
    const [a, b] = [neg(input("a", [8, 8])), neg(input("b", [8, 8]))];
    const y = matmul(a, b);
    expect(executionOrder([y]).filter((x) => x.inputs.length > 0)).toEqual([b, a, y]);
  });
});
