/** @file Fits a model's preview factors: RGB of decoded images by the latents that they are decoded from. */

import { meanLatents } from "../diffusion/posterior.js";
import { ModelError } from "../errors.js";
import { fromRgbImage, type Rgb, type RgbImage } from "../image/pixels.js";
import type { LatentRgb } from "../image/preview.js";
import type { DiffusionPipeline } from "./pipeline.js";

/** `r2`: the share of the colours' variance that the fit explains, over all images and colours. */
export type FittedFactors = LatentRgb & { images: number; r2: number };

/**
 * Encodes each image, decodes its latents, and fits each decoded block's mean colour to its latent pixel by least
 * squares. Sizes of images must be multiples of the autoencoder's factor. ModelError where none is given.
 */
export async function fitPreviewFactors(
  pipeline: DiffusionPipeline,
  images: AsyncIterable<RgbImage>,
): Promise<FittedFactors> {
  const { latentChannels: channels, factor } = pipeline.components.vae;
  const sums = new NormalEquations(channels + 1, 3);
  let count = 0;
  for await (const image of images) {
    const [h, w] = [image.height / factor, image.width / factor];
    const { width, height } = image;
    const encoded = await pipeline.encodeImage({ data: fromRgbImage(image), width, height });
    const latents = meanLatents(encoded, pipeline.components.vae);
    const pixels = await pipeline.decode(latents, h, w);
    const colours = blockMeans(pixels, { h, w, factor });
    for (let i = 0; i < h * w; i++) {
      const row = Array.from({ length: channels }, (_, c) => latents[c * h * w + i]!);
      sums.add([...row, 1], [colours[i]!, colours[h * w + i]!, colours[2 * h * w + i]!]);
    }
    count++;
  }
  if (count === 0)
    throw new ModelError("--data", "must hold images, got none. Name a folder of PNG or JPEG.");
  const solved = sums.solve();
  const rows = solved.map((row) => row.map((v) => Number(v.toFixed(4))) as unknown as Rgb);
  return {
    factors: rows.slice(0, channels),
    bias: rows[channels]!,
    images: count,
    r2: sums.explained(solved),
  };
}

/** [3, h * factor, w * factor], clamped to -1..1 -> the mean of each block: [3, h, w] */
function blockMeans(pixels: Float32Array, { h, w, factor }: { h: number; w: number; factor: number }) {
  const means = new Float32Array(3 * h * w);
  const width = w * factor;
  for (let i = 0; i < pixels.length; i++) {
    const [y, x] = [Math.floor(i / width), i % width];
    const [colour, row] = [Math.floor(y / (h * factor)), y % (h * factor)];
    const at = (colour * h + Math.floor(row / factor)) * w + Math.floor(x / factor);
    means[at]! += Math.min(1, Math.max(-1, pixels[i]!)) / factor ** 2;
  }
  return means;
}

/** Least squares by normal equations, of a few unknowns, with the sums for R². */
class NormalEquations {
  readonly #inner: number[][];
  readonly #outer: number[][];
  readonly #squares: number[];

  constructor(unknowns: number, targets: number) {
    this.#inner = Array.from({ length: unknowns }, () => new Array<number>(unknowns).fill(0));
    this.#outer = Array.from({ length: unknowns }, () => new Array<number>(targets).fill(0));
    this.#squares = new Array<number>(targets).fill(0);
  }

  add(row: readonly number[], targets: readonly number[]): void {
    for (const [i, a] of row.entries()) {
      for (const [j, b] of row.entries()) this.#inner[i]![j]! += a * b;
      for (const [k, y] of targets.entries()) this.#outer[i]![k]! += a * y;
    }
    for (const [k, y] of targets.entries()) this.#squares[k]! += y * y;
  }

  /** [unknowns, targets], by Gauss and Jordan with the largest pivot; an unknown that nothing depends on is 0. */
  solve(): number[][] {
    const n = this.#inner.length;
    const rows = this.#inner.map((row, i) => [...row, ...this.#outer[i]!]);
    const scale = Math.max(...this.#inner.map((row, i) => row[i]!));
    for (let i = 0; i < n; i++) {
      const pivot = rows
        .slice(i)
        .reduce((best, row, k) => (Math.abs(row[i]!) > Math.abs(rows[best]![i]!) ? i + k : best), i);
      [rows[i], rows[pivot]] = [rows[pivot]!, rows[i]!];
      const divisor = rows[i]![i]!;
      if (Math.abs(divisor) < 1e-12 * scale) {
        rows[i]!.fill(0);
        continue;
      }
      rows[i] = rows[i]!.map((v) => v / divisor);
      for (let k = 0; k < n; k++) {
        const share = rows[k]![i]!;
        if (k !== i && share !== 0) rows[k] = rows[k]!.map((v, j) => v - share * rows[i]![j]!);
      }
    }
    return rows.map((row) => row.slice(n));
  }

  /** 1 - (residual / total) sum of squares; the last unknown is the constant. */
  explained(solved: readonly (readonly number[])[]): number {
    const n = this.#inner.length;
    const count = this.#inner[n - 1]![n - 1]!;
    let [residual, total] = [0, 0];
    for (const [k, squares] of this.#squares.entries()) {
      total += squares - this.#outer[n - 1]![k]! ** 2 / count;
      residual += squares;
      for (let i = 0; i < n; i++) {
        residual -= 2 * solved[i]![k]! * this.#outer[i]![k]!;
        for (let j = 0; j < n; j++) residual += solved[i]![k]! * solved[j]![k]! * this.#inner[i]![j]!;
      }
    }
    return 1 - residual / total;
  }
}
