/**
 * @file Resizing of images bit for bit as Pillow's `Image.resize` (its `Resample.c`): LANCZOS, which is what Diffusers resizes
 * with, and the filters of transformers' image processors. Separable, weights in fixed point, rounded and clipped to 8 bits after each pass. Browser-safe.
 */

import { InvalidRequest } from "../errors.js";
import type { RgbImage } from "./pixels.js";

/** Fractional bits of a weight: with 8 bits of pixel and 2 of overshoot a sum fills 32 bits. */
const precision = 22;
const half = 1 << (precision - 1);

/** A filter's reach in pixels on either side, and its weight at a distance. */
type Filter = { support: number; at: (x: number) => number };

/** Pillow's filters by name. */
const filters = {
  lanczos: { support: 3, at: (x) => (x >= -3 && x < 3 ? sinc(x) * sinc(x / 3) : 0) },
  bicubic: { support: 2, at: (x) => cubic(Math.abs(x)) },
  bilinear: { support: 1, at: (x) => Math.max(0, 1 - Math.abs(x)) },
} as const satisfies Record<string, Filter>;

export type ResizeFilter = keyof typeof filters;

/** The image at another size, by Lanczos with three lobes or another filter. The image itself if it has that size. */
export function resizeImage(
  image: RgbImage,
  width: number,
  height: number,
  filter: ResizeFilter = "lanczos",
): RgbImage {
  for (const [field, value] of Object.entries({ width, height })) {
    if (Number.isSafeInteger(value) && value > 0) continue;
    throw new InvalidRequest(field, value, `must be a whole number above 0, got ${value}.`);
  }
  const by: Filter = filters[filter];
  const [across, down] = [image.width - width, image.height - height];
  const rows = (p: RgbImage): RgbImage =>
    across === 0 ? p : { ...p, width, data: alongRows(p.data, p.height, taps(p.width, width, by)) };
  const columns = (p: RgbImage): RgbImage =>
    down === 0 ? p : { ...p, height, data: downColumns(p.data, p.width, taps(p.height, height, by)) };
  // Since Pillow 13, whose clipping between the passes shows their order.
  const columnsFirst = down > 0 && down > 2 * across;
  return columnsFirst ? rows(columns(image)) : columns(rows(image));
}

/** What each output pixel is made of: the first input pixel, how many there are, and their weights, `stride` apart. */
type Taps = { from: Int32Array; counts: Int32Array; weights: Int32Array; stride: number; input: number };

/** Pillow's `precompute_coeffs` and `normalize_coeffs_8bpc`: shrinking widens the filter by the same factor. */
function taps(input: number, output: number, filter: Filter): Taps {
  const scale = input / output;
  const widened = Math.max(scale, 1);
  const support = filter.support * widened;
  const stride = 2 * Math.ceil(support) + 1;
  const [from, counts] = [new Int32Array(output), new Int32Array(output)];
  const weights = new Int32Array(output * stride);
  const exact = new Float64Array(stride);
  for (let i = 0; i < output; i++) {
    const center = (i + 0.5) * scale;
    const first = Math.max(0, Math.trunc(center - support + 0.5));
    const count = Math.min(input, Math.trunc(center + support + 0.5)) - first;
    let sum = 0;
    for (let k = 0; k < count; k++) sum += exact[k] = filter.at((k + first - center + 0.5) * (1 / widened));
    for (let k = 0; k < count; k++) {
      const weight = (sum === 0 ? exact[k]! : exact[k]! / sum) * (1 << precision);
      weights[i * stride + k] = Math.trunc(weight < 0 ? weight - 0.5 : weight + 0.5);
    }
    from[i] = first;
    counts[i] = count;
  }
  return { from, counts, weights, stride, input };
}

/** Keys' cubic with a = -0.5, x >= 0 */
function cubic(x: number): number {
  const a = -0.5;
  if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
  return x < 2 ? (((x - 5) * x + 8) * x - 4) * a : 0;
}

function sinc(x: number): number {
  return x === 0 ? 1 : Math.sin(x * Math.PI) / (x * Math.PI);
}

/** [rows, input, 3] -> [rows, output, 3] */
function alongRows(
  data: Uint8Array,
  rows: number,
  { from, counts, weights, stride, input }: Taps,
): Uint8Array {
  const output = from.length;
  const out = new Uint8Array(rows * output * 3);
  let to = 0;
  for (let y = 0; y < rows; y++) {
    for (let x = 0; x < output; x++) {
      let r = half;
      let g = half;
      let b = half;
      let at = 3 * (y * input + from[x]!);
      const last = x * stride + counts[x]!;
      for (let k = x * stride; k < last; k++, at += 3) {
        const weight = weights[k]!;
        r = (r + Math.imul(weight, data[at]!)) | 0;
        g = (g + Math.imul(weight, data[at + 1]!)) | 0;
        b = (b + Math.imul(weight, data[at + 2]!)) | 0;
      }
      out[to++] = clipped(r);
      out[to++] = clipped(g);
      out[to++] = clipped(b);
    }
  }
  return out;
}

/** [input, width, 3] -> [output, width, 3] */
function downColumns(data: Uint8Array, width: number, { from, counts, weights, stride }: Taps): Uint8Array {
  const row = 3 * width;
  const out = new Uint8Array(from.length * row);
  let to = 0;
  for (let y = 0; y < from.length; y++) {
    const last = y * stride + counts[y]!;
    for (let x = 0; x < row; x += 3) {
      let r = half;
      let g = half;
      let b = half;
      let at = from[y]! * row + x;
      for (let k = y * stride; k < last; k++, at += row) {
        const weight = weights[k]!;
        r = (r + Math.imul(weight, data[at]!)) | 0;
        g = (g + Math.imul(weight, data[at + 1]!)) | 0;
        b = (b + Math.imul(weight, data[at + 2]!)) | 0;
      }
      out[to++] = clipped(r);
      out[to++] = clipped(g);
      out[to++] = clipped(b);
    }
  }
  return out;
}

function clipped(sum: number): number {
  const value = sum >> precision;
  return value < 0 ? 0 : value > 255 ? 255 : value;
}
