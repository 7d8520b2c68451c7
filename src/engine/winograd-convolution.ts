/**
 * @file Writes a 3x3 convolution of any image size by Winograd's F(m x m, 3x3) (`winograd.ts`): the image in tiles of m + 2
 * pixels each way, of which neighbours share two, a product of matrices for each place in a tile, and m pixels each way
 * of every tile back.
 *
 * Tiles are rows of pixels, gathered by indices that are computed from the image's size when the program runs. The
 * kernel's transform depends on weights alone, so ONNX Runtime computes it when it loads the program.
 */

import type { Attributes } from "../tensor/tensor.js";
import type { GraphWriter } from "./onnx.js";
import { bothWays, transforms } from "./winograd.js";

/** x: [B, C, H, W], w: [O, C, 3, 3], bias: [O] -> [B, O, H', W'] */
export function winogradConvolution(
  g: GraphWriter,
  [x, w, bias]: readonly string[],
  [O, C]: readonly [number, number],
  { tile: m, bands, padding: [top, left, bottom, right] }: Attributes["winogradConv2d"],
): string {
  const i = integers(g);
  const n = (m + 2) ** 2;
  const matrix = (name: "A" | "B" | "G") => {
    const { data, shape } = bothWays(transforms[m][name]);
    return g.constant(data, shape);
  };
  const places = g.node("Reshape", [w!, g.ints(-1, 9)]);
  const kernel = g.node("Reshape", [transposed(g, matrix("G"), places), g.ints(-1, O, C)]); // [n, O, C]

  const [B, H, W] = [0, 2, 3].map((axis) => i.size(x!, axis)) as [string, string, string];
  const [height, width] = [i.add(H, top + bottom - 2), i.add(W, left + right - 2)];
  const [down, across] = [height, width].map((size) => i.div(i.add(size, m - 1), m)) as [string, string];
  // As far as tiles reach at most.
  const last = g.node("Transpose", [x!], { perm: [0, 2, 3, 1] });
  const pads = g.ints(0, top, left, 0, 0, bottom + m - 1, right + m - 1, 0);
  const pixels = g.node("Reshape", [g.node("Pad", [last, pads]), g.ints(-1, C)]);
  const [rowLength, rows] = [i.add(W, left + right + m - 1), i.add(H, top + bottom + m - 1)];

  const steps = Array.from({ length: m + 2 }, (_, step) => step);
  const inRows = i.mul(i.given(steps, [m + 2, 1, 1, 1, 1]), rowLength);
  const inColumns = i.add(i.given(steps, [m + 2, 1, 1, 1]), i.mul(i.upTo(across), m));
  const images = i.reshape(i.upTo(B), [-1, 1, 1]);
  const firstRow = i.add(i.add(inRows, inColumns), i.mul(images, i.mul(rows, rowLength))); // of a tile of the first row
  const xs = i.upTo(width);
  const [xInTile, xTile] = [i.mod(xs, m), i.div(xs, m)];

  /** The rows of pixels that rows of tiles from `first` to `past` give. */
  const band = (first: string, past: string): string => {
    const from = i.reshape(i.mul(i.range(first, past), i.mul(rowLength, m)), [-1, 1]);
    const tiles = g.node("Gather", [pixels, i.reshape(i.add(firstRow, from), [n, -1])], { axis: 0 }); // [n, T, C]
    const seen = g.node("MatMul", [matrix("B"), g.node("Reshape", [tiles, g.ints(n, -1)])]);
    const products = transposed(g, g.node("Reshape", [seen, g.ints(n, -1, C)]), kernel); // [n, T, O]
    const results = g.node("MatMul", [matrix("A"), g.node("Reshape", [products, g.ints(n, -1)])]);
    // Rows of O numbers for [m, m, B, tiles down, tiles across].
    const perImage = i.mul(i.sub(past, first), across);
    const perPlace = i.mul(perImage, B);
    const ys = i.upTo(i.min(i.mul(i.sub(past, first), m), i.sub(height, i.mul(first, m))));
    const atY = i.add(i.mul(i.mod(ys, m), i.mul(perPlace, m)), i.mul(i.div(ys, m), across));
    const atX = i.add(i.mul(xInTile, perPlace), xTile);
    const at = i.add(i.add(i.reshape(atY, [-1, 1]), atX), i.mul(images, perImage));
    const out = g.node("Gather", [g.node("Reshape", [results, g.ints(-1, O)]), at], { axis: 0 }); // [B, rows, W', O]
    return g.node("Transpose", [bias === undefined ? out : g.node("Add", [out, bias])], {
      perm: [0, 3, 1, 2],
    });
  };
  const ends = Array.from({ length: bands + 1 }, (_, k) => {
    if (k === 0) return i.given([0], []);
    return k === bands ? down : i.div(i.mul(down, k), bands);
  });
  const parts = ends.slice(1).map((past, k) => band(ends[k]!, past));
  return parts.length === 1 ? parts[0]! : g.node("Concat", parts, { axis: 2 });
}

/** a times the transpose of b. */
const transposed = (g: GraphWriter, a: string, b: string) =>
  g.contrib("FusedMatMul", [a, b], { transA: 0, transB: 1 });

/** Operations on whole numbers: values of the program, or numbers. */
function integers(g: GraphWriter) {
  const given = (numbers: readonly number[], shape: readonly number[]) =>
    g.constant(BigInt64Array.from(numbers, BigInt), shape);
  const value = (x: string | number) => (typeof x === "string" ? x : given([x], []));
  const op = (type: string) => (a: string, b: string | number) => g.node(type, [a, value(b)]);
  const range = (from: string, past: string) => g.node("Range", [from, past, value(1)]);
  return {
    given,
    range,
    ...{ add: op("Add"), sub: op("Sub"), mul: op("Mul"), div: op("Div"), mod: op("Mod"), min: op("Min") },
    reshape: (x: string, sizes: readonly number[]) => g.node("Reshape", [x, g.ints(...sizes)]),
    upTo: (past: string) => range(value(0), past),
    size: (x: string, axis: number) =>
      g.node("Squeeze", [g.node("Shape", [x], { start: axis, end: axis + 1 })]),
  };
}
