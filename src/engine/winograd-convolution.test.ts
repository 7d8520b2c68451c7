/** @file Convolutions by Winograd's algorithm against their definition, for sizes that no tile divides. */

import { describe, expect, it } from "vitest";
import { Generator } from "../diffusion/random.js";
import { winogradConv2d } from "../tensor/lowered-operations.js";
import { conv2d, input, param } from "../tensor/operations.js";
import type { Attributes, Padding } from "../tensor/tensor.js";
import { standard } from "./device.js";
import { floats, floatsOf } from "./engine.js";
import { lower } from "./lower.js";
import { blockingEngine } from "./ort/blocking-engine.js";

const engine = blockingEngine({ threads: 1 });
const [C, O] = [5, 7];
type Image = { data: Float32Array; B: number; H: number; W: number };

/** By definition, in float64: [B, O, H', W'] */
function convolved({ data, B, H, W }: Image, w: Float32Array, b: Float32Array, padding: Padding): number[] {
  const [top, left, bottom, right] = padding;
  const [height, width] = [H + top + bottom - 2, W + left + right - 2];
  const at = (n: number, c: number, y: number, x: number) =>
    y < 0 || x < 0 || y >= H || x >= W ? 0 : data[((n * C + c) * H + y) * W + x]!;
  return Array.from({ length: B * O * height * width }, (_, index) => {
    const [x, y] = [index % width, Math.floor(index / width) % height];
    const [o, n] = [Math.floor(index / width / height) % O, Math.floor(index / width / height / O)];
    let sum = b[o]!;
    for (let c = 0; c < C; c++)
      for (let k = 0; k < 9; k++)
        sum += w[(o * C + c) * 9 + k]! * at(n, c, y - top + Math.floor(k / 3), x - left + (k % 3));
    return sum;
  });
}

const image = (B: number, H: number, W: number): Image => ({
  data: new Generator(BigInt(H * W)).normal(B * C * H * W),
  ...{ B, H, W },
});
const [w, b] = [new Generator(1n).normal(O * C * 9), new Generator(2n).normal(O)];
const inMemory = (data: Float32Array, shape: readonly number[]) =>
  ({ dtype: "F32", shape, data: new Uint8Array(data.buffer as ArrayBuffer) }) as const;
const weights = new Map([
  ["w", inMemory(w, [O, C, 3, 3])],
  ["b", inMemory(b, [O])],
]);

describe("a convolution by Winograd's algorithm", () => {
  it.each<[string, Attributes["winogradConv2d"]]>([
    ["in tiles of four", { tile: 4, bands: 1, padding: [1, 1, 1, 1] }],
    ["in tiles of two", { tile: 2, bands: 1, padding: [1, 1, 1, 1] }],
    ["in bands, of which some may have no rows", { tile: 4, bands: 3, padding: [1, 1, 1, 1] }],
    ["without padding", { tile: 4, bands: 1, padding: [0, 0, 0, 0] }],
    ["with another padding on each side", { tile: 4, bands: 2, padding: [0, 1, 2, 1] }],
  ])("%s, is the convolution at every size by one program", async (_, attrs) => {
    const x = input("x", [{ B: 1 }, C, { H: 8 }, { W: 8 }]);
    const out = winogradConv2d(x, param("w", [O, C, 3, 3]), param("b", [O]), attrs);
    const session = await engine.load(lower("test", { out }, { device: standard, weights }));
    for (const given of [image(1, 8, 8), image(2, 13, 6), image(1, 3, 17)]) {
      const result = (await session.run({ x: floats(given.data, given.B, C, given.H, given.W) })).out;
      const expected = convolved(given, w, b, attrs.padding);
      const largest = Math.max(...expected.map(Math.abs));
      const values = floatsOf(result);
      expect(values.length).toBe(expected.length);
      expect(Math.max(...expected.map((v, i) => Math.abs(v - values[i]!))) / largest).toBeLessThan(1e-5);
    }
    await session.release();
  });

  it("has the shape of conv2d", () => {
    const x = input("x", [2, C, 9, 5]);
    const kernel = param("w", [O, C, 3, 3]);
    const padding: Padding = [0, 1, 2, 1];
    const { shape } = winogradConv2d(x, kernel, undefined, { tile: 4, bands: 1, padding });
    expect(shape).toEqual(conv2d(x, kernel, undefined, { padding }).shape);
  });
});
