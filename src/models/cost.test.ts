/** @file Counts of multiplications and weights, against closed forms and figures of other profilers. */

import { describe, expect, it } from "vitest";
import * as t from "../tensor/operations.js";
import { input } from "../tensor/operations.js";
import { manifest } from "../tensor/params.js";
import type { Tensor } from "../tensor/tensor.js";
import { macs, macsByOp, parameters } from "./cost.js";
import { knownUnets } from "./known.js";
import { traceUnet, type UnetSize } from "./trace.js";
import { unetConfig } from "./unet-config.js";

function traced(json: unknown, size: Partial<UnetSize> = {}) {
  let output: Tensor | undefined;
  const weights = manifest((p) => {
    output = traceUnet(p, unetConfig(json), size);
  });
  return { output: output!, weights };
}

describe("macs", () => {
  const x = input("x", [2, 3, 8, 8]);
  const w = input("w", [5, 3, 3, 3]);

  it("of a matrix product are rows x columns x inner size, per batch", () => {
    expect(macs([t.matmul(input("a", [7, 2, 3]), input("b", [3, 5]))])).toBe(7 * 2 * 3 * 5);
  });

  it.each([
    [true, false, [3, 2], [3, 5]],
    [false, true, [2, 3], [5, 3]],
    [true, true, [3, 2], [5, 3]],
  ])("of a product do not depend on which factor is transposed: %s, %s", (transposeA, transposeB, a, b) => {
    expect(macs([t.matmul(input("a", a), input("b", b), { transposeA, transposeB })])).toBe(2 * 3 * 5);
  });

  it("of a convolution are output size x input channels x kernel size", () => {
    expect(macs([t.conv2d(x, w, undefined, { padding: 1 })])).toBe(2 * 5 * 8 * 8 * 3 * 9);
    expect(macs([t.conv2d(x, w, undefined, { padding: 1, stride: 2 })])).toBe(2 * 5 * 4 * 4 * 3 * 9);
  });

  it("of a convolution's adjoint are those of the convolution", () => {
    const forward = t.conv2d(x, w, undefined, { padding: 1, stride: 2 });
    const g = input("g", forward.shape);
    const adjoint = t.conv2dTranspose(g, w, { stride: 2, padding: [1, 1, 1, 1], size: [8, 8] });
    expect(macs([adjoint])).toBe(2 * 5 * 4 * 4 * 3 * 9);
  });

  it("of attention are queries x keys x width, twice, whatever the number of heads", () => {
    const q = input("q", [2, 10, 12]);
    const k = input("k", [2, 7, 12]);
    for (const heads of [1, 3]) expect(macs([t.attention(q, k, k, heads)])).toBe(2 * (2 * 10 * 7 * 12));
  });

  it("count a tensor that is used twice once, and elementwise work not at all", () => {
    const y = t.matmul(input("a", [2, 3]), input("b", [3, 5]));
    expect(macs([t.add(t.silu(y), y), t.mul(y, 2)])).toBe(2 * 3 * 5);
    expect(macsByOp([t.silu(input("a", [2, 3]))]).size).toBe(0);
  });
});

describe("a U-Net's macs", () => {
  it("are the 311.4 G of KOALA-700M at 512 pixels, attention's products included", () => {
    const { output } = traced(knownUnets["KOALA-700M"], { height: 64, width: 64 });
    expect(macs([output]) / 1e9).toBeCloseTo(311.4, 1);
  });

  // github.com/Nota-NetsPresso/BK-SDM/issues/53. thop sees no attention product and adds 4 per layerNorm element:
  // 5 encoder and decoder blocks on each of three levels and one in the middle, with three norms each.
  it("of Stable Diffusion 1.4 at 512 pixels are thop's to the last digit, by thop's rules", () => {
    const { output, weights } = traced({ cross_attention_dim: 768 }, { height: 64, width: 64 });
    const counted = macsByOp([output]);
    const norms = 3 * (5 * (64 ** 2 * 320 + 32 ** 2 * 640 + 16 ** 2 * 1280) + 8 ** 2 * 1280);
    expect(parameters(weights)).toBe(859_520_964);
    expect(counted.get("conv2d")! + counted.get("matmul")! + 4 * norms).toBe(338_749_194_240);
  });

  it("are proportional to the batch", () => {
    const one = macs([traced(knownUnets["KOALA-700M"], { height: 8, width: 16 }).output]);
    expect(macs([traced(knownUnets["KOALA-700M"], { batch: 3, height: 8, width: 16 }).output])).toBe(3 * one);
  });
});

describe("parameters", () => {
  it("adds up the elements of all weights", () => {
    expect(
      parameters(
        new Map([
          ["a", [2, 3]],
          ["b", []],
          ["c", [5]],
        ]),
      ),
    ).toBe(6 + 1 + 5);
  });
});
