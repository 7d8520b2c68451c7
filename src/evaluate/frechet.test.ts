/** @file The Fréchet distance and what it is made of, against closed forms and SciPy's `sqrtm`. */

import { describe, expect, it } from "vitest";
import { Generator } from "../diffusion/random.js";
import { enoughRows, frechetDistance, gaussianOf, traceOfRoot } from "./frechet.js";
import { eigenvalues, matrix, product, transposed } from "./matrix.js";

const sorted = (values: Iterable<number>) => [...values].sort((a, b) => a - b);
const diagonal = (...values: number[]) =>
  matrix(values.length, values.length, (r, c) => (r === c ? values[r]! : 0));
/** The reflection at a plane: an orthogonal matrix without zeros. */
function reflection(n: number) {
  const v = Array.from({ length: n }, (_, i) => i + 1);
  const square = v.reduce((sum, x) => sum + x * x, 0);
  return matrix(n, n, (r, c) => (r === c ? 1 : 0) - (2 * v[r]! * v[c]!) / square);
}
const rotated = (m: ReturnType<typeof matrix>) => {
  const q = reflection(m.rows);
  return product(product(q, m), transposed(q));
};

describe("the eigenvalues of a symmetric matrix", () => {
  it("are 2 - 2 cos(k pi / (n + 1)) for the second difference", () => {
    const n = 40;
    const difference = matrix(n, n, (r, c) => (r === c ? 2 : Math.abs(r - c) === 1 ? -1 : 0));
    const expected = Array.from({ length: n }, (_, k) => 2 - 2 * Math.cos(((k + 1) * Math.PI) / (n + 1)));
    for (const [i, value] of sorted(eigenvalues(difference)).entries())
      expect(value).toBeCloseTo(expected[i]!, 12);
  });

  it("stay what they are when it is rotated, also where some are equal, zero or far apart", () => {
    const values = [0, 0, 1e-6, 1, 1, 1, 3, 1e6];
    const found = sorted(eigenvalues(rotated(diagonal(...values))));
    for (const [i, value] of found.entries()) expect(Math.abs(value - values[i]!)).toBeLessThan(1e-8);
  });
});

describe("the trace of the root of a product", () => {
  it("is the sum of sqrt(a b) for matrices with the same axes, in any position", () => {
    const [a, b] = [diagonal(1, 4, 9, 0, 2), diagonal(4, 1, 0.25, 7, 2)];
    for (const turn of [(m: typeof a) => m, rotated])
      expect(traceOfRoot(turn(a), turn(b))).toBeCloseTo(2 + 2 + 1.5 + 0 + 2, 7);
  });

  it("is sqrt(tr(A B) + 2 sqrt(det A det B)) for two by two, whatever their axes", () => {
    const a = matrix(2, 2, (r, c) => [2, 1, 1, 3][2 * r + c]!);
    const b = matrix(2, 2, (r, c) => [5, -2, -2, 1][2 * r + c]!);
    const { data } = product(a, b);
    expect(traceOfRoot(a, b)).toBeCloseTo(Math.sqrt(data[0]! + data[3]! + 2 * Math.sqrt(5 * 1)), 12);
  });
});

describe("the Fréchet distance", () => {
  const numbers = new Generator(3).normal(60 * 8);
  const rows = Array.from({ length: 60 }, (_, i) => numbers.subarray(8 * i, 8 * (i + 1)));

  it("of a set to itself is 0, moved it is the square of the way, spread by s it is (s - 1)² of its variance", () => {
    expect(frechetDistance(rows, rows)).toBeCloseTo(0, 6);
    const moved = rows.map((row) => Array.from(row, (x, i) => x + (i === 2 ? 3 : 0) - (i === 5 ? 4 : 0)));
    expect(frechetDistance(rows, moved)).toBeCloseTo(25, 6);
    const { mean, covariance } = gaussianOf(rows);
    const variance = mean.reduce((sum, _, i) => sum + covariance.data[9 * i]!, 0);
    const wide = rows.map((row) => Array.from(row, (x, i) => mean[i]! + 3 * (x - mean[i]!)));
    expect(frechetDistance(rows, wide)).toBeCloseTo(4 * variance, 6);
  });

  it("is SciPy's of its sqrtm", () => {
    const table = (at: (i: number) => number) =>
      Array.from({ length: 12 }, (_, r) => [0, 1, 2].map((c) => at(3 * r + c)));
    const [x, y] = [table((i) => Math.sin(1 + i * i * 1.7)), table((i) => Math.cos(i * i * 0.37) * 2 + 0.5)];
    expect(frechetDistance(x, y)).toBeCloseTo(5.32839807621863, 9);
  });

  it("needs more rows than columns", () => {
    expect(enoughRows(rows)).toBe(true);
    expect(enoughRows(rows.slice(0, 8))).toBe(false);
  });
});
