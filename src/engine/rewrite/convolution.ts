/**
 * @file Convolutions as matrix products over a whole batch, for training: ONNX's Conv computes one small product per
 * image, and has no operator for the gradient of a kernel.
 *
 * Images are [B, H*W, C] here. A 3x3 kernel at stride 1 is computed by Winograd's F(m x m, 3x3) (Lavin and Gray 2016,
 * https://arxiv.org/abs/1509.09308): (m + 2)² products of small tiles stand for 9 m² of pixels. The result's error
 * grows from 4e-7 to 3e-6 with m = 4. Other convolutions, and those for which it would be slower, are computed from
 * windows (im2col). Rows are gathered by indices that are constants of the traced size.
 */

import { constant, gather, matmul, pad, reshape, transpose } from "../../tensor/operations.js";
import { count, type Extent, type Padding, type Shape, type Tensor } from "../../tensor/tensor.js";
import { bothWays, type TileSize, tileSize, transforms } from "../winograd.js";

/** The sizes of a convolution's images (`from` its input, `to` its output) and kernel. */
export type Geometry = {
  batch: number;
  from: Extent;
  to: Extent;
  kernel: Extent;
  stride: number;
  padding: Padding;
};

/** x: [B, from, C], w: [O, C, kh, kw] -> [B, to, O] */
export function convolve(x: Tensor, w: Tensor, geometry: Geometry): Tensor {
  if (pointwise(geometry)) return matmul(x, matrix(w), { transposeB: true });
  const m = tileSize(geometry, geometry.to, x.shape[2]!, w.shape[0]!);
  return m ? winograd(x, w, m, geometry) : windowed(x, w, geometry);
}

/** The gradient in x. g: [B, to, O], w: [O, C, kh, kw] -> [B, from, C] */
export function convolveAdjoint(g: Tensor, w: Tensor, geometry: Geometry): Tensor {
  if (pointwise(geometry)) return matmul(g, matrix(w));
  const m = tileSize(geometry, geometry.from, w.shape[0]!, w.shape[1]!);
  return m ? winogradAdjoint(g, w, m, geometry) : windowedAdjoint(g, w, geometry);
}

/** The gradient in w. g: [B, to, O], x: [B, from, C] -> [O, C, kh, kw] */
export function convolveKernel(g: Tensor, x: Tensor, geometry: Geometry): Tensor {
  const [O, C] = [g.shape[2]!, x.shape[2]!];
  const m = tileSize(geometry, geometry.to, C, O);
  if (m) return winogradKernel(g, x, m, geometry);
  const pixels = pointwise(geometry) ? rows(x) : windows(x, geometry);
  return reshape(matmul(rows(g), pixels, { transposeA: true }), [O, C, ...geometry.kernel]);
}

/** Row indices: a constant of `shape`. */
const indices = (shape: Shape, at: (i: number) => number) =>
  constant(
    BigInt64Array.from({ length: count(shape) }, (_, i) => BigInt(at(i))),
    shape,
  );

const pointwise = ({ kernel: [kh, kw], stride, padding }: Geometry) =>
  kh * kw * stride === 1 && padding.every((d) => d === 0);
const matrix = (w: Tensor) => reshape(w, [w.shape[0]!, -1]);
/** [B, N, C] -> [B*N, C] */
const rows = (x: Tensor) => reshape(x, [-1, x.shape.at(-1)!]);
/** The same and a row of zeros, which stands for every pixel outside the image. */
const withZeroRow = (x: Tensor) => pad(rows(x), [0, 0], [1, 0]);
const pixel =
  (batch: number, [height, width]: Extent) =>
  (image: number, y: number, x: number) =>
    y < 0 || x < 0 || y >= height || x >= width ? batch * height * width : (image * height + y) * width + x;

// Windows

/** The pixels under the kernel for each output pixel. x: [B, from, C] -> [B*to, C*kh*kw], in the kernel's own order */
function windows(x: Tensor, geometry: Geometry): Tensor {
  const { batch, from, to, kernel, stride, padding } = geometry;
  const [area, taps] = [to[0] * to[1], kernel[0] * kernel[1]];
  const row = pixel(batch, from);
  const ids = indices([batch * area, taps], (i) => {
    const [at, tap] = [Math.floor(i / taps), i % taps];
    const [image, position] = [Math.floor(at / area), at % area];
    const top = Math.floor(position / to[1]) * stride - padding[0];
    const left = (position % to[1]) * stride - padding[1];
    return row(image, top + Math.floor(tap / kernel[1]), left + (tap % kernel[1]));
  });
  return reshape(transpose(gather(withZeroRow(x), ids), [0, 2, 1]), [batch * area, -1]);
}

function windowed(x: Tensor, w: Tensor, geometry: Geometry): Tensor {
  const y = matmul(windows(x, geometry), matrix(w), { transposeB: true });
  return reshape(y, [geometry.batch, -1, w.shape[0]!]);
}

/**
 * Each input pixel sums the gradients of the windows that contain it: in each direction, one of every `stride` positions
 * of the kernel can have covered it.
 */
function windowedAdjoint(g: Tensor, w: Tensor, geometry: Geometry): Tensor {
  const { batch, from, to, kernel, stride, padding } = geometry;
  const [C, taps] = [w.shape[1]!, kernel[0] * kernel[1]];
  const gradients = transpose(reshape(matmul(rows(g), matrix(w)), [-1, C, taps]), [0, 2, 1]); // [B*to, taps, C]
  const pixels = batch * from[0] * from[1];
  const zeroRow = batch * to[0] * to[1] * taps;
  const [down, across] = [Math.ceil(kernel[0] / stride), Math.ceil(kernel[1] / stride)];
  const ids = indices([down * across, pixels], (i) => {
    const [candidate, at] = [Math.floor(i / pixels), i % pixels];
    const [image, position] = [Math.floor(at / (from[0] * from[1])), at % (from[0] * from[1])];
    const y = Math.floor(position / from[1]) + padding[0];
    const x = (position % from[1]) + padding[1];
    const row = (y % stride) + Math.floor(candidate / across) * stride;
    const column = (x % stride) + (candidate % across) * stride;
    if (row >= kernel[0] || column >= kernel[1]) return zeroRow;
    const window = pixel(batch, to)(image, (y - row) / stride, (x - column) / stride);
    return Math.min(window * taps + row * kernel[1] + column, zeroRow);
  });
  return reshape(sumOfRows(gather(withZeroRow(gradients), ids)), [batch, -1, C]);
}

/** The sum over the first axis, as a product with ones: ONNX Runtime's ReduceSum takes several times as long. */
export function sumOfRows(x: Tensor): Tensor {
  const ones = constant(new Float32Array(x.shape[0]!).fill(1), [1, x.shape[0]!]);
  return transformed(ones, x);
}

// Winograd

const both = (matrix: readonly (readonly number[])[]): Tensor => {
  const { data, shape } = bothWays(matrix);
  return constant(data, shape);
};

/** A constant matrix times the first axis of x: [n, ...] -> [n', ...] */
function transformed(by: Tensor, x: Tensor, { transposeA = false } = {}): Tensor {
  const y = matmul(by, reshape(x, [x.shape[0]!, -1]), { transposeA });
  return reshape(y, [y.shape[0]!, ...x.shape.slice(1)]);
}

const tiled = (m: TileSize, [height, width]: Extent): Extent => [Math.ceil(height / m), Math.ceil(width / m)];

/** The pixels of every tile of `size` squared, beginning `top` and `left` outside. x: [B, from, C] -> [size², tiles, C] */
function tiles(
  x: Tensor,
  m: TileSize,
  size: number,
  batch: number,
  from: Extent,
  to: Extent,
  [top, left]: Extent,
): Tensor {
  const [down, across] = tiled(m, to);
  const all = batch * down * across;
  const row = pixel(batch, from);
  const ids = indices([size * size, all], (i) => {
    const [tap, at] = [Math.floor(i / all), i % all];
    const [image, tile] = [Math.floor(at / (down * across)), at % (down * across)];
    const y = Math.floor(tile / across) * m - top + Math.floor(tap / size);
    return row(image, y, (tile % across) * m - left + (tap % size));
  });
  return gather(withZeroRow(x), ids);
}

/** Transformed tiles back to pixels. [(m + 2)², tiles, C] -> [B, to, C] */
function pixelsOf(y: Tensor, m: TileSize, batch: number, to: Extent): Tensor {
  const [down, across] = tiled(m, to);
  const all = batch * down * across;
  const ids = indices([batch, to[0] * to[1]], (i) => {
    const [image, position] = [Math.floor(i / (to[0] * to[1])), i % (to[0] * to[1])];
    const [row, column] = [Math.floor(position / to[1]), position % to[1]];
    const tile = (image * down + Math.floor(row / m)) * across + Math.floor(column / m);
    return ((row % m) * m + (column % m)) * all + tile;
  });
  return gather(rows(transformed(both(transforms[m].A), y)), ids);
}

const tilesOf = (x: Tensor, m: TileSize, batch: number, from: Extent, to: Extent, padding: Extent): Tensor =>
  transformed(both(transforms[m].B), tiles(x, m, m + 2, batch, from, to, padding));

/** w: [O, C, 3, 3] -> [(m + 2)², O, C] */
function kernelOf(w: Tensor, m: TileSize, { flipped = false } = {}): Tensor {
  const { G } = transforms[m];
  const by = both(flipped ? G.map((row) => row.toReversed()) : G);
  const [O, C] = w.shape as [number, number];
  return reshape(matmul(by, reshape(w, [O * C, 9]), { transposeB: true }), [-1, O, C]);
}

function winograd(x: Tensor, w: Tensor, m: TileSize, { batch, from, to, padding }: Geometry): Tensor {
  const inputTiles = tilesOf(x, m, batch, from, to, [padding[0], padding[1]]);
  return pixelsOf(matmul(inputTiles, kernelOf(w, m), { transposeB: true }), m, batch, to);
}

/** It is a convolution too, with the kernel flipped. */
function winogradAdjoint(g: Tensor, w: Tensor, m: TileSize, { batch, from, to, padding }: Geometry): Tensor {
  const inputTiles = tilesOf(g, m, batch, to, from, [2 - padding[0], 2 - padding[1]]);
  return pixelsOf(matmul(inputTiles, kernelOf(w, m, { flipped: true })), m, batch, from);
}

/** The products of the transformed tiles of x and g, by the transposed transforms. */
function winogradKernel(g: Tensor, x: Tensor, m: TileSize, { batch, from, to, padding }: Geometry): Tensor {
  const inputTiles = tilesOf(x, m, batch, from, to, [padding[0], padding[1]]);
  const gradientTiles = transformed(both(transforms[m].A), tiles(g, m, m, batch, to, to, [0, 0]), {
    transposeA: true,
  });
  const dw = matmul(gradientTiles, inputTiles, { transposeA: true }); // [(m + 2)², O, C]
  const [O, C] = [g.shape[2]!, x.shape[2]!];
  const back = matmul(reshape(dw, [dw.shape[0]!, O * C]), both(transforms[m].G), { transposeA: true });
  return reshape(back, [O, C, 3, 3]);
}
