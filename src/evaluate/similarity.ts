/** @file How near two images are, pixel by pixel: PSNR, and the structural similarity of Wang et al. 2004. */

import { InvalidRequest } from "../errors.js";
import type { RgbImage } from "../image/pixels.js";

/** The peak signal-to-noise ratio in decibels over all values of both images; infinite where they are equal. */
export function psnr(a: RgbImage, b: RgbImage): number {
  checkSizes(a, b);
  let squares = 0;
  for (let i = 0; i < a.data.length; i++) squares += (a.data[i]! - b.data[i]!) ** 2;
  return 10 * Math.log10((255 ** 2 * a.data.length) / squares);
}

/** Half the width of the window, and its deviation: 11 x 11 pixels, as in the paper. */
const [reach, deviation] = [5, 1.5];
const window = gaussian();
/** The paper's constants, of values to 255. */
const [c1, c2] = [(0.01 * 255) ** 2, (0.03 * 255) ** 2];

/**
 * The mean structural similarity, 1 for equal images: with Gaussian windows that lie inside the image, averaged over the
 * three channels, as scikit-image's `structural_similarity(gaussian_weights=True, use_sample_covariance=False)`.
 */
export function ssim(a: RgbImage, b: RgbImage): number {
  checkSizes(a, b);
  const { width, height } = a;
  const least = 2 * reach + 1;
  if (width < least || height < least)
    throw new InvalidRequest(
      "image",
      `${width} x ${height}`,
      `must have ${least} pixels on each side, got ${width} x ${height}.`,
    );
  let sum = 0;
  for (let c = 0; c < 3; c++) sum += channelSsim(a, b, c);
  return sum / 3;
}

function channelSsim(a: RgbImage, b: RgbImage, c: number): number {
  const { width, height } = a;
  const area = width * height;
  const [x, y] = [a, b].map(({ data }) =>
    Float64Array.from({ length: area }, (_, i) => data[3 * i + c]!),
  ) as [Float64Array, Float64Array];
  const blurred = (values: Float64Array) => blur(values, width, height);
  const products = (p: Float64Array, q: Float64Array) => p.map((value, i) => value * q[i]!);
  const [mx, my] = [blurred(x), blurred(y)];
  const [xx, yy, xy] = [blurred(products(x, x)), blurred(products(y, y)), blurred(products(x, y))];
  let sum = 0;
  for (let i = 0; i < mx.length; i++) {
    const [m, n] = [mx[i]!, my[i]!];
    const luminance = (2 * m * n + c1) / (m * m + n * n + c1);
    const structure = (2 * (xy[i]! - m * n) + c2) / (xx[i]! - m * m + (yy[i]! - n * n) + c2);
    sum += luminance * structure;
  }
  return sum / mx.length;
}

/** The mean in the window around every pixel whose window lies inside: [(height - 10) x (width - 10)] */
function blur(values: Float64Array, width: number, height: number): Float64Array {
  const across = width - 2 * reach;
  const rows = new Float64Array(height * across);
  for (let y = 0; y < height; y++)
    for (let x = 0; x < across; x++) {
      let sum = 0;
      for (let k = 0; k < window.length; k++) sum += window[k]! * values[y * width + x + k]!;
      rows[y * across + x] = sum;
    }
  const out = new Float64Array((height - 2 * reach) * across);
  for (let i = 0; i < out.length; i++) {
    let sum = 0;
    for (let k = 0; k < window.length; k++) sum += window[k]! * rows[i + k * across]!;
    out[i] = sum;
  }
  return out;
}

function gaussian(): readonly number[] {
  const weights = Array.from({ length: 2 * reach + 1 }, (_, i) =>
    Math.exp(-((i - reach) ** 2) / (2 * deviation ** 2)),
  );
  const total = weights.reduce((sum, w) => sum + w, 0);
  return weights.map((w) => w / total);
}

function checkSizes(a: RgbImage, b: RgbImage): void {
  if (a.width === b.width && a.height === b.height) return;
  const rule = `must be of one size to be compared, got ${a.width} x ${a.height} and ${b.width} x ${b.height}.`;
  throw new InvalidRequest("reference", `${b.width} x ${b.height}`, rule);
}
