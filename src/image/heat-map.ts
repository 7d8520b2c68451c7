/** @file Draws heat maps: values of 0 to 1 as colours over an image, and the difference of two images. Browser-safe. */

import type { Rgb, RgbImage } from "./pixels.js";

/** Colours from 0 to 1, dark to light, also without colour vision: stops of matplotlib's inferno. */
const heatStops: readonly Rgb[] = [
  [0, 0, 4],
  [87, 16, 110],
  [188, 55, 84],
  [249, 142, 9],
  [252, 255, 164],
];

/** Between the two nearest stops. */
export function heatColour(value: number): Rgb {
  const at = Math.min(1, Math.max(0, value)) * (heatStops.length - 1);
  const low = Math.min(heatStops.length - 2, Math.floor(at));
  const share = at - low;
  const [from, to] = [heatStops[low]!, heatStops[low + 1]!];
  return [0, 1, 2].map((c) => from[c]! * (1 - share) + to[c]! * share) as unknown as Rgb;
}

/** Of the image so much stays: less where the heat is. */
const [kept, keptAtMost] = [0.5, 0.35];

/** The image in grey under the colours of `heat`, [height, width] in 0 to 1. */
export function overlaid({ width, height, data }: RgbImage, heat: Float32Array): RgbImage {
  const out = new Uint8Array(data.length);
  for (let i = 0; i < width * height; i++) {
    const grey = 0.299 * data[3 * i]! + 0.587 * data[3 * i + 1]! + 0.114 * data[3 * i + 2]!;
    const share = kept + (keptAtMost - kept) * heat[i]!;
    const colour = heatColour(heat[i]!);
    for (let c = 0; c < 3; c++) out[3 * i + c] = Math.round(share * grey + (1 - share) * colour[c]!);
  }
  return { width, height, data: out };
}

/** Where two images of one size differ: grey where they do not, lighter where the second is. */
export function differenceImage(a: RgbImage, b: RgbImage): RgbImage {
  const data = a.data.map((level, i) => Math.round(127.5 + (b.data[i]! - level) / 2));
  return { width: a.width, height: a.height, data };
}

/** Values of -1 to 1: blue below 0, white at 0, red above. */
export function signedImage(
  values: Float32Array,
  { width, height }: { width: number; height: number },
): RgbImage {
  const data = new Uint8Array(3 * values.length);
  for (const [i, value] of values.entries()) {
    const rest = Math.round(255 * (1 - Math.min(1, Math.abs(value))));
    data.set(value < 0 ? [rest, rest, 255] : [255, rest, rest], 3 * i);
  }
  return { width, height, data };
}
