/** @file Estimated memory: of graphs whose buffers can be counted by hand, and of one that is measured in a process. */

import { execFileSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { cpu } from "../../../src/engine/device.js";
import { peakBytes } from "../../../src/engine/memory/peak.js";
import * as t from "../../../src/tensor/operations.js";
import { input } from "../../../src/tensor/operations.js";
import type { Tensor } from "../../../src/tensor/tensor.js";

const unit = 4 * 8 * 8;
const square = (name: string) => input(name, [8, 8]);
/** In units of one matrix; no arena, so no fragmentation. */
const held = (y: Tensor) => peakBytes({ y }, { arena: false }).peak / unit;

describe("the peak of a graph", () => {
  const [a, b] = [square("a"), square("b")];
  const product = t.matmul(a, b);

  it("is its result where nothing else is computed, and inputs are resident", () => {
    expect(peakBytes({ product }, { arena: false })).toEqual({
      peak: unit,
      returned: 0,
      resident: 2 * unit,
      constants: 0,
    });
  });

  it("holds two results of a chain of products at once, of any length", () => {
    const chain = (n: number) => Array.from({ length: n }).reduce<Tensor>((x) => t.matmul(x, b), a);
    expect(held(chain(2))).toBe(2);
    expect(held(chain(9))).toBe(2);
  });

  it("does not grow by reshapes or elementwise operations", () => {
    expect(held(t.matmul(t.reshape(t.exp(t.neg(product)), [8, 8]), b))).toBe(2);
  });

  it("holds what is read again", () => {
    const again = t.add(t.matmul(t.matmul(t.exp(product), b), b), product);
    expect(held(again)).toBe(3);
  });

  it("does not write over an input of the program", () => {
    expect(held(t.matmul(t.exp(a), b))).toBe(2);
  });

  it("counts the scores of attention only where it is composed", () => {
    const q = input("q", [1, 512, 8]);
    const attention = t.attention(q, q, q, 1);
    const scores = 4 * 512 * 512;
    expect(peakBytes({ attention }, { arena: false }).peak).toBeLessThan(scores);
    const composed = peakBytes({ attention }, { arena: false, device: { ...cpu, fusedAttention: false } });
    expect(composed.peak).toBeGreaterThan(2 * scores);
    expect(composed.peak).toBeLessThan(2.1 * scores);
  });

  it("computes equal operations once", () => {
    expect(held(t.matmul(t.matmul(a, b), t.matmul(a, b)))).toBe(2);
  });
});

describe("the buffers of a program", () => {
  const [a, b] = [square("a"), square("b")];
  const product = t.matmul(a, b);

  it("leave out results in the caller's memory, and count the copy that is returned", () => {
    const given = peakBytes({ product, sum: t.add(product, b) }, { arena: false, given: new Set(["sum"]) });
    expect(given).toMatchObject({ peak: unit, returned: unit, resident: 3 * unit });
  });

  it("are kept when dead for a later result of its shape, but only where sizes are fixed", () => {
    const graph = (a: Tensor) => {
      const early = t.matmul(a, t.constant(new Float32Array(64), [8, 8]));
      const wide = t.matmul(early, input("wide", [8, 80]));
      const wider = t.matmul(wide, input("wider", [80, 8000]));
      return t.matmul(t.matmul(wider, input("narrow", [8000, 8])), square("last"));
    };
    const [fixed, open] = [graph(a), graph(input("a", [{ rows: 8 }, 8]))];
    const row = 4 * 8;
    expect(peakBytes({ fixed }, { arena: false }).peak / row).toBe(8 + 80 + 8000);
    expect(peakBytes({ open }, { arena: false }).peak / row).toBe(80 + 8000);
  });
});

const linux = process.platform === "linux";
describe.skipIf(!linux)("measured in a fresh process", () => {
  it("a training step takes what was predicted, within a quarter", () => {
    const script = fileURLToPath(new URL("../../../bench/memory.ts", import.meta.url));
    const args = ["--expose-gc", "--import", "tsx", script, "--json", "--case", "step, 1 x 256 px"];
    const { predicted, measured } = JSON.parse(execFileSync(process.execPath, args, { encoding: "utf8" }));
    expect(measured).toBeGreaterThan(200e6);
    expect(Math.abs(predicted - measured)).toBeLessThan(0.25 * measured);
  }, 120_000);
});
