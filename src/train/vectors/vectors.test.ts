/** @file The vector operations against the same arithmetic in double precision, in place and copied. */

import { createHash } from "node:crypto";
import { describe, expect, it } from "vitest";
import { Generator } from "../../diffusion/random.js";
import { adamw, approach, scaledSum, sumOfSquares, vectors } from "./vectors.js";

/** A piece and a rest that is no multiple of four. */
const n = 16384 + 7;
const generator = new Generator(2);
const random = () => generator.normal(n);
const scalars = {
  ...{ scale: 0.5, beta1: 0.9, beta2: 0.999, decay: 1e-3, rate: 1e-2, correction: 2, epsilon: 1e-8 },
};

const inPlace = (...arrays: Float32Array[]) =>
  vectors(arrays.length, n).map((array, i) => {
    array.set(arrays[i]!);
    return array;
  });
const shared = (array: Float32Array) => {
  const copy = new Float32Array(new SharedArrayBuffer(4 * array.length));
  copy.set(array);
  return copy;
};

/** Vitest takes seconds to compare arrays of this length. */
const bits = (array: Float32Array) =>
  createHash("sha256")
    .update(new Uint8Array(array.buffer, array.byteOffset, array.byteLength))
    .digest("hex");

function expectClose(got: Float32Array, expected: (i: number) => number): void {
  const off = got.findIndex((x, i) => !(Math.abs(x - expected(i)) <= 3e-7 * (1 + Math.abs(expected(i)))));
  expect(off === -1 ? "close" : `${got[off]} at ${off} where ${expected(off)} is expected`).toBe("close");
}

describe("AdamW by vectors", () => {
  const [w, m, v, g] = [random(), random(), random().map(Math.abs), random()];
  const update = (arrays: Float32Array[]) => {
    const [weights, mean, square, gradient] = arrays as [
      Float32Array,
      Float32Array,
      Float32Array,
      Float32Array,
    ];
    adamw({ weights, mean, square }, gradient, scalars);
    return [weights, mean, square, gradient] as const;
  };
  const [weights, mean, square, gradient] = update(inPlace(w, m, v, g));

  it("is the formula's, and leaves the gradient as it is", () => {
    const means = Float64Array.from(m, (x, i) => 0.9 * x + 0.1 * 0.5 * g[i]!);
    const squares = Float64Array.from(v, (x, i) => 0.999 * x + 0.001 * (0.5 * g[i]!) ** 2);
    expectClose(mean, (i) => means[i]!);
    expectClose(square, (i) => squares[i]!);
    expectClose(
      weights,
      (i) => w[i]! * (1 - 1e-3) - (1e-2 * means[i]!) / (2 * Math.sqrt(squares[i]!) + 1e-8),
    );
    expect(bits(gradient)).toBe(bits(g));
  });

  it.each([
    ["of JavaScript", (array: Float32Array) => array.slice()],
    ["that threads share", shared],
  ])("has the same bits on arrays %s", (_, copy) => {
    const again = update([w, m, v, g].map((array) => copy(array)));
    expect(again.map(bits)).toEqual([weights, mean, square, gradient].map(bits));
  });
});

describe("the other operations", () => {
  const [x, y] = [random(), random()];

  it("add and scale, the result in an operand's place too", () => {
    const [a, b, into] = inPlace(x, y, y) as [Float32Array, Float32Array, Float32Array];
    scaledSum(into, a, shared(y), 0.25);
    scaledSum(a, a, b, 0.25);
    expectClose(into, (i) => (x[i]! + y[i]!) / 4);
    expect(bits(a)).toBe(bits(into));
  });

  it("move one array towards another", () => {
    const [a] = inPlace(x) as [Float32Array];
    approach(a, y, 0.25);
    expectClose(a, (i) => x[i]! + (y[i]! - x[i]!) / 4);
  });

  it("add up squares without those of the numbers before", () => {
    const large = Float32Array.of(1e20, 1e20, 1e20, 1e20);
    expect(sumOfSquares(large) / 4e40).toBeCloseTo(1, 7);
    expect(sumOfSquares(Float32Array.of(3, 4, 0, 0, 12))).toBe(169);
    const sum = x.reduce((total, value) => total + value * value, 0);
    expect(sumOfSquares(x) / sum).toBeCloseTo(1, 9);
  });

  it("do nothing to nothing", () => {
    expect(sumOfSquares(new Float32Array(0))).toBe(0);
  });
});

describe("arrays of vectors", () => {
  it("begin as zeros, apart from each other", () => {
    const [a, b] = vectors(2, 5) as [Float32Array, Float32Array];
    a.fill(1);
    approach(b, a, 0);
    expect([a, b]).toEqual([Float32Array.of(1, 1, 1, 1, 1), new Float32Array(5)]);
  });
});
