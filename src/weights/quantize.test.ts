/** @file Quantised matrices, by closed forms. */

import { expect, it } from "vitest";
import { blockOf, dequantizeBlocks, quantizeBlocks, quantizeRows } from "./quantize.js";

it("each block has a factor of its own, and zero keeps its code", () => {
  const w = new Float32Array(32);
  w.set([127, -127, 1, 0.4, -0.6], 0);
  w.set([0.127, -0.001], 16);
  const { codes, scales } = quantizeBlocks(w, 16);
  expect([...scales]).toEqual([1, Math.fround(0.001)]);
  expect([...codes.subarray(0, 6)]).toEqual([255, 1, 129, 128, 127, 128]);
  expect([...codes.subarray(16, 19)]).toEqual([255, 127, 128]);
});

it("the numbers that codes stand for are within half a step of the weights", () => {
  const w = Float32Array.from({ length: 4 * 256 }, (_, i) => Math.sin(i * i) * (1 + (i >> 7)));
  const { codes, scales } = quantizeBlocks(w, 128);
  for (const [i, x] of dequantizeBlocks(codes, scales).entries())
    expect(Math.abs(x - w[i]!)).toBeLessThanOrEqual(0.5001 * scales[i >> 7]!);
});

it("a block of zeros, and one of the smallest numbers, stay finite", () => {
  const w = new Float32Array(32).fill(2 ** -149, 16);
  const { codes, scales } = quantizeBlocks(w, 16);
  expect(dequantizeBlocks(codes, scales).every(Number.isFinite)).toBe(true);
  expect(dequantizeBlocks(codes, scales).subarray(0, 16)).toEqual(new Float32Array(16));
});

it.each([
  [2048, 128],
  [320, 64],
  [96, 32],
  [48, 16],
  [4, undefined],
])("rows of %i are in blocks of %s", (width, block) => expect(blockOf(width)).toBe(block));

it.each([
  [8, 127],
  [7, 63],
] as const)("rows of %i bits have a factor each, codes to %i, and lie transposed", (bits, most) => {
  const { codes, scales } = quantizeRows(Float32Array.of(1, -0.4, 0, 0, 4 * most, 2, 0, 0, 0), 3, bits);
  expect([...scales]).toEqual([Math.fround(1 / most), 4, 0]);
  expect([...codes]).toEqual([most, 0, 0, Math.round(-0.4 * most), most, 0, 0, 1, 0]);
});
