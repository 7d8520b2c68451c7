/** @file What a graphics device's graph has in place of the CPU's: linear layers, slices of queries, inputs of the host. */

import { describe, expect, it } from "vitest";
import { sinusoid } from "../../nn.js";
import { add, attention, gather, input, linear, matmul, param, part } from "../../tensor/operations.js";
import { topological } from "../../tensor/order.js";
import type { Tensor } from "../../tensor/tensor.js";
import { cpu, type Device, standard } from "../device.js";
import { floats, floatsOf, longs, type Values } from "../engine.js";
import { lower } from "../lower.js";
import { blockingEngine } from "../ort/blocking-engine.js";
import { deviceGraph } from "./device-graph.js";

const operations = (x: Tensor, device: Device) =>
  topological([deviceGraph({ x }, device).x]).map((y) => y.op);
const numbers = (n: number, seed: number) =>
  Float32Array.from({ length: n }, (_, i) => Math.sin(seed + 0.7 * i * i));

/** The result as `device` lowers it, computed on the CPU. */
async function result(y: Tensor, device: Device, inputs: Readonly<Record<string, Values>>): Promise<Values> {
  const session = await blockingEngine({ threads: 1, device }).load(lower("test", { y }, { device }));
  const results = await session.run(inputs);
  await session.release();
  return results.y!;
}

async function agree(y: Tensor, device: Device, inputs: Readonly<Record<string, Values>>): Promise<void> {
  const [wanted, got] = [await result(y, standard, inputs), await result(y, device, inputs)];
  expect(got.shape).toEqual(wanted.shape);
  const apart = floatsOf(got).map((v, i) => Math.abs(v - floatsOf(wanted)[i]!));
  expect(Math.max(...apart)).toBeLessThan(2e-6);
}

describe("a linear layer", () => {
  const gemm: Device = { ...standard, gemm: true };
  const x = input("x", [{ B: 2 }, { N: 3 }, 4]);
  const [w, b] = [param("w", [5, 4]), param("b", [5])];

  it("is one Gemm with its bias, of any rank and open sizes", async () => {
    const y = add(matmul(x, w, { transposeB: true }), b);
    expect(operations(y, gemm)).toEqual(["input", "param", "param", "linear"]);
    const weights = { w: floats(numbers(20, 1), 5, 4), b: floats(numbers(5, 2), 5) };
    for (const [B, N] of [
      [2, 3],
      [1, 7],
    ] as const)
      await agree(y, gemm, { ...weights, x: floats(numbers(4 * B * N, 3), B, N, 4) });
  });

  it("is not made of products of two results", () => {
    expect(operations(matmul(x, x, { transposeB: true }), gemm)).toContain("matmul");
  });

  it("refuses a weight that does not fit", () => {
    expect(() => linear(x, param("w", [5, 3]))).toThrow("linear: input [2, 3, 4] does not fit weight [5, 3]");
  });
});

describe("attention on a device with small buffers", () => {
  const q = input("q", [{ B: 2 }, { N: 10 }, 6]);
  const k = input("k", [{ B: 2 }, { M: 7 }, 6]);
  const y = attention(q, k, k, 3);
  // 2 * 3 * 10 * 7 scores of 4 bytes are 1680.
  const small: Device = { ...standard, attentionBytes: 600 };

  it("is computed in slices of queries, as many as fit", () => {
    expect(operations(y, small).filter((op) => op === "softmax")).toHaveLength(3);
    expect(operations(y, { ...small, attentionBytes: 1680 })).not.toContain("part");
  });

  it("is the same at the traced sizes and at others", async () => {
    for (const [B, N, M] of [
      [2, 10, 7],
      [1, 11, 5],
      [3, 3, 1],
    ] as const)
      await agree(y, small, {
        q: floats(numbers(6 * B * N, 1), B, N, 6),
        k: floats(numbers(6 * B * M, 2), B, M, 6),
      });
  });

  it("refuses more parts than there are elements", () => {
    expect(() => part(q, 1, 0, 11)).toThrow("part: 0 of 11 is outside [2, 10, 6], axis 1");
  });
});

describe("what a device leaves to the host", () => {
  const host: Device = { ...cpu, hostSinusoids: true, hostTokenLookup: true };

  it("are sinusoids of inputs, from the same inputs", async () => {
    const t = input("t", [{ B: 2 }]);
    const y = sinusoid(t, 8);
    expect(operations(y, host)).toEqual(["input", "input", "concat"]);
    await agree(y, host, { t: floats(Float32Array.of(999, 1, 501.5), 3) });
  });

  it("are not sines of anything else", () => {
    const t = input("t", [2]);
    expect(operations(sinusoid(add(t, t), 8), host)).toContain("sin");
  });

  it("are rows of a table, of which the device holds nothing", async () => {
    const y = gather(param("table", [4, 3]), input("ids", [{ B: 1 }, 2], "int64"));
    expect(operations(y, host)).toEqual(["input"]);
    const table = floats(numbers(12, 1), 4, 3);
    await agree(y, host, { table, ids: longs([3, 0, 3, 1], 2, 2) });
  });
});
