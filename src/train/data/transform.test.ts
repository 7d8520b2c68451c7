/** @file Resizing, cropping, mirroring and time ids of training images, whose results are known in closed form. */

import { describe, expect, it } from "vitest";
import { generate, quarters } from "../../../test/quarters.js";
import { coveringSize, transformImage } from "./transform.js";

const noChance = () => {
  throw new Error("nothing is random here");
};

/** Gives the numbers one after the other, and fails when asked for more. */
function fixed(...numbers: number[]): () => number {
  return () => numbers.shift() ?? noChance();
}

describe("transformImage", () => {
  it("values go from 0..255 to -1..1, one plane per channel", async () => {
    const image = generate(2, 2, (y, x) => [y === 0 ? 255 : 0, x === 0 ? 51 : 204, 128]);
    const { pixels } = await transformImage(image, { height: 2, width: 2 }, noChance);
    expect([...pixels.subarray(0, 8)]).toEqual(
      [1, 1, -1, -1, -0.6, 0.6, -0.6, 0.6].map((v) => expect.closeTo(v, 6)),
    );
    expect(pixels[8]).toBeCloseTo(1 / 255, 6);
    expect(pixels).toHaveLength(12);
  });

  it("time ids are original height and width, crop's top and left, target height and width", async () => {
    // 300 wide, 200 high: short side to 64, long side to int(64 * 300 / 200) = 96, (96 - 64) / 2 = 16.
    const image = quarters(200, 300);
    const wide = await transformImage(image, { height: 64, width: 64 }, noChance);
    expect(wide.timeIds).toEqual([200, 300, 0, 16, 64, 64]);
    const tall = await transformImage(quarters(300, 200), { height: 64, width: 64 }, noChance);
    expect(tall.timeIds).toEqual([300, 200, 16, 0, 64, 64]);
    // Small images are enlarged, and keep their original size in the ids.
    const small = await transformImage(quarters(10, 20), { height: 64, width: 64 }, noChance);
    expect(small.timeIds).toEqual([10, 20, 0, 32, 64, 64]);
  });

  it.each([
    [65, 0],
    [67, 2],
    [69, 2],
    [71, 4],
  ])(
    "a centered crop out of %i columns begins at %i, as Python rounds halves to even",
    async (width, left) => {
      const ids = (await transformImage(quarters(64, width), { height: 64, width: 64 }, noChance)).timeIds;
      expect(ids).toEqual([64, width, 0, left, 64, 64]);
    },
  );

  it("the long side is truncated, as torchvision does", () => {
    const square = { height: 64, width: 64 };
    expect(coveringSize({ height: 100, width: 149 }, square)).toEqual({ height: 64, width: 95 }); // 95.36
    expect(coveringSize({ height: 127, width: 64 }, { height: 63, width: 63 })).toEqual({
      height: 125,
      width: 63,
    });
    expect(coveringSize({ height: 50, width: 50 }, { height: 32, width: 96 })).toEqual({
      height: 96,
      width: 96,
    });
    expect(coveringSize({ height: 7, width: 9 }, { height: 112, width: 144 })).toEqual({
      height: 112,
      width: 144,
    });
  });

  it("the pixels are those the time ids speak of", async () => {
    // Each pixel tells its own place, so a crop can be read back.
    const image = generate(8, 20, (y, x) => [x, y, 0]);
    const byte = (value: number | undefined) => Math.round((value! + 1) * 127.5);
    const { pixels, timeIds } = await transformImage(image, { height: 8, width: 8 }, fixed(0, 0.5), {
      crop: "random",
    });
    // 13 places for the left edge: floor(0.5 * 13) = 6
    expect(timeIds).toEqual([8, 20, 0, 6, 8, 8]);
    expect([0, 7].map((x) => byte(pixels[x]))).toEqual([6, 13]);
    expect([0, 56].map((row) => byte(pixels[64 + row]))).toEqual([0, 7]);
  });

  it("mirroring comes before the crop, so that left counts in the mirrored image", async () => {
    const image = generate(8, 20, (_, x) => [x, 0, 0]);
    const byte = (value: number | undefined) => Math.round((value! + 1) * 127.5);
    const options = { crop: "random", flip: true } as const;
    const mirrored = await transformImage(image, { height: 8, width: 8 }, fixed(0.49, 0, 0.99), options);
    expect(mirrored.timeIds).toEqual([8, 20, 0, 12, 8, 8]);
    // Column 12 of the mirrored image is column 19 - 12 = 7 of the original.
    expect([0, 7].map((x) => byte(mirrored.pixels[x]))).toEqual([7, 0]);
    const plain = await transformImage(image, { height: 8, width: 8 }, fixed(0.5, 0, 0.99), options);
    expect([0, 7].map((x) => byte(plain.pixels[x]))).toEqual([12, 19]);
  });

  it("random crops reach both ends and nothing beyond", async () => {
    const image = generate(10, 8, (y) => [y, 0, 0]);
    for (const [draw, top] of [
      [0, 0],
      [0.34, 1],
      [0.9999, 2],
    ] as const) {
      const cut = await transformImage(image, { height: 8, width: 8 }, fixed(draw, 0), {
        crop: "random",
      });
      expect(cut.timeIds[2]).toBe(top);
    }
  });

  it("resizing keeps flat areas flat and corners in their places", async () => {
    const target = { height: 32, width: 48 };
    const { pixels } = await transformImage(quarters(200, 300), target, noChance);
    const at = (y: number, x: number) => [0, 1, 2].map((c) => pixels[(c * 32 + y) * 48 + x]);
    expect([at(2, 2), at(2, 45), at(29, 2), at(29, 45)]).toEqual([
      [1, -1, -1],
      [-1, 1, -1],
      [-1, -1, 1],
      [1, 1, -1],
    ]);
  });

  it("resizing is the Lanczos filter of width 3 stretched by the scale, as Pillow's is", async () => {
    // A white line, 1 of 48 columns, shrunk by 3: a new column is lanczos(distance of the centres / 3) / sum.
    const image = generate(48, 48, (_, x) => (x === 23 ? [255, 255, 255] : [0, 0, 0]));
    const { pixels } = await transformImage(image, { height: 16, width: 16 }, noChance);
    const sinc = (x: number) => (x === 0 ? 1 : Math.sin(Math.PI * x) / (Math.PI * x));
    const lanczos = (x: number) => (Math.abs(x) < 3 ? sinc(x) * sinc(x / 3) : 0);
    for (let column = 0; column < 16; column++) {
      const weights = Array.from({ length: 48 }, (_, x) => lanczos((x + 0.5) / 3 - (column + 0.5)));
      const expected = (255 * weights[23]!) / weights.reduce((total, weight) => total + weight, 0);
      const got = (pixels[8 * 16 + column]! + 1) * 127.5;
      expect(Math.abs(got - Math.max(0, expected))).toBeLessThan(1);
    }
  });
});
