/** @file Masks against what Pillow makes of A1111's `create_binary_mask` and `ImageOps.invert`. */

import sharp from "sharp";
import { expect, it } from "vitest";
import { decodeMask, type MaskOptions } from "./mask.js";

/** The grey of each pixel of the mask that a row of pixels becomes. */
async function greys(pixels: readonly number[], channels: 1 | 2 | 3 | 4, options?: MaskOptions) {
  const raw = { width: pixels.length / channels, height: 1, channels };
  const grey = channels < 3 ? "b-w" : "srgb";
  const png = await sharp(Uint8Array.from(pixels), { raw }).toColourspace(grey).png().toBuffer();
  const { data } = await decodeMask(png, options);
  return Array.from({ length: data.length / 3 }, (_, i) => {
    const [r, g, b] = data.subarray(3 * i, 3 * i + 3);
    expect([g, b]).toEqual([r, r]);
    return r;
  });
}

/** White, then coloured, strokes of every strength on a transparent canvas. */
const strokes = [
  [255, 255, 255, 0],
  [255, 255, 255, 255],
  [0, 0, 0, 127],
  [200, 30, 30, 128],
  [0, 0, 0, 129],
  [0, 0, 0, 255],
].flat();

it("is the alpha, above 128, of an image that is not opaque everywhere", async () => {
  expect(await greys(strokes, 4)).toEqual([0, 255, 0, 0, 255, 255]);
  expect(await greys([255, 0, 255, 255, 0, 255], 2)).toEqual([0, 255, 255]);
});

it("is the grey of any other, with an alpha or without", async () => {
  const colours = [
    [255, 255, 255],
    [0, 0, 0],
    [200, 30, 30],
    [128, 127, 126],
  ];
  const grey = [255, 0, 81, 127];
  expect(await greys(colours.flat(), 3)).toEqual(grey);
  expect(
    await greys(
      colours.flatMap((rgb) => [...rgb, 255]),
      4,
    ),
  ).toEqual(grey);
  expect(await greys([0, 127, 128, 255], 1)).toEqual([0, 127, 128, 255]);
});

it("has an exact inverse, and means the opposite by its alpha in OpenAI's API", async () => {
  const opposite = [255, 0, 255, 255, 0, 0];
  expect(await greys(strokes, 4, { inverted: true })).toEqual(opposite);
  expect(await greys(strokes, 4, { transparent: "generated" })).toEqual(opposite);
  expect(await greys([0, 127, 128, 255], 1, { inverted: true })).toEqual([255, 128, 127, 0]);
  expect(await greys([0, 127, 128, 255], 1, { transparent: "generated" })).toEqual([0, 127, 128, 255]);
});
