/** @file Images of flat colours for tests, whose pixels are known in closed form. */

import type { RgbImage } from "../src/image/pixels.js";

export const red = [255, 0, 0];
export const green = [0, 255, 0];
export const blue = [0, 0, 255];
export const yellow = [255, 255, 0];

/** An image from a function of row and column. */
export function generate(
  height: number,
  width: number,
  colour: (y: number, x: number) => number[],
): RgbImage {
  const rows = Array.from({ length: height }, (_, y) =>
    Array.from({ length: width }, (_, x) => colour(y, x)),
  );
  return { height, width, data: Uint8Array.from(rows.flat(2)) };
}

/** Four flat quarters: red and green above blue and yellow. */
export function quarters(height: number, width: number): RgbImage {
  return generate(height, width, (y, x) =>
    y < height / 2 ? (x < width / 2 ? red : green) : x < width / 2 ? blue : yellow,
  );
}
