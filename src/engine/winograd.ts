/**
 * @file Winograd's minimal filtering F(m x m, 3x3) (Lavin and Gray 2016, https://arxiv.org/abs/1509.09308): its matrices,
 * and where it computes a convolution with fewer operations. (m + 2)² products of small tiles stand for 9 m² of pixels.
 * The result's error grows from 4e-7 to 1e-5 with m = 4.
 */

import type { Extent, Padding } from "../tensor/tensor.js";

/** The matrices of F(m, 3): B transforms tiles of m + 2 pixels, G the kernel, A the products into m results. */
export const transforms = {
  2: {
    B: [
      [1, 0, -1, 0],
      [0, 1, 1, 0],
      [0, -1, 1, 0],
      [0, 1, 0, -1],
    ],
    G: [
      [1, 0, 0],
      [1 / 2, 1 / 2, 1 / 2],
      [1 / 2, -1 / 2, 1 / 2],
      [0, 0, 1],
    ],
    A: [
      [1, 1, 1, 0],
      [0, 1, -1, -1],
    ],
  },
  4: {
    B: [
      [4, 0, -5, 0, 1, 0],
      [0, -4, -4, 1, 1, 0],
      [0, 4, -4, -1, 1, 0],
      [0, -2, -1, 2, 1, 0],
      [0, 2, -1, -2, 1, 0],
      [0, 4, 0, -5, 0, 1],
    ],
    G: [
      [1 / 4, 0, 0],
      [-1 / 6, -1 / 6, -1 / 6],
      [-1 / 6, 1 / 6, -1 / 6],
      [1 / 24, 1 / 12, 1 / 6],
      [1 / 24, -1 / 12, 1 / 6],
      [0, 0, 1],
    ],
    A: [
      [1, 1, 1, 1, 1, 0],
      [0, 1, -1, 2, -2, 0],
      [0, 1, 1, 4, 4, 0],
      [0, 1, -1, 8, -8, 1],
    ],
  },
} as const;
export type TileSize = keyof typeof transforms;

/** Applied to both directions of a tile: the Kronecker product of a matrix with itself. */
export function bothWays(matrix: readonly (readonly number[])[]): {
  data: Float32Array;
  shape: [number, number];
} {
  const rows = matrix.flatMap((a) => matrix.map((b) => a.flatMap((x) => b.map((y) => x * y))));
  return { data: Float32Array.from(rows.flat()), shape: [rows.length, rows[0]!.length] };
}

/**
 * The tile size with the fewest multiplications; undefined if windows take fewer. Transforms count more than they
 * multiply, because they are bound by memory, that of the kernel most: wide layers of few pixels (1280 channels at 4x4)
 * are not worth a transformed kernel of four times its size.
 */
export function tileSize(
  { batch, kernel, stride, padding }: { batch: number; kernel: Extent; stride: number; padding: Padding },
  to: Extent,
  C: number,
  O: number,
): TileSize | undefined {
  if (kernel[0] !== 3 || kernel[1] !== 3 || stride !== 1 || padding.some((d) => d > 2)) return undefined;
  const pixels = batch * to[0] * to[1];
  const cost = (m: TileSize) => {
    const [n, tiles] = [(m + 2) ** 2, batch * Math.ceil(to[0] / m) * Math.ceil(to[1] / m)];
    return n * tiles * C * O + 2 * n * n * tiles * C + 2 * m * m * n * tiles * O + 3 * 9 * n * C * O;
  };
  const best = cost(4) <= cost(2) ? 4 : 2;
  return cost(best) < 9 * pixels * C * (O + 100) ? best : undefined;
}
