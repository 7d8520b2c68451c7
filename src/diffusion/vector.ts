/** @file Elementwise arithmetic on float32 arrays. */

import { f32 } from "./arithmetic.js";

/** A factor and the array it multiplies. */
export type Term = readonly [factor: number, array: Float32Array];

/**
 * The sum of the terms. Every product and partial sum is rounded to float32, in the order given: between large
 * sigmas the roundings are a visible part of Diffusers' samples.
 */
export function weightedSum(...terms: readonly Term[]): Float32Array {
  const [first, ...rest] = terms;
  if (first === undefined) throw new Error("internal: a sum needs a term");
  const [factor, array] = first;
  const out = array.map((x) => factor * x);
  for (const [weight, values] of rest) {
    for (let i = 0; i < out.length; i++) out[i]! += f32(weight * values[i]!);
  }
  return out;
}

/** (a - b) / divisor. */
export function dividedDifference(a: Float32Array, b: Float32Array, divisor: number): Float32Array {
  return a.map((x, i) => f32(x - b[i]!) / divisor);
}
