/** @file Elementwise arithmetic on float32 arrays. */

/** A factor and the array it multiplies. */
export type Term = readonly [factor: number, array: Float32Array];

/** The sum of the terms, added up in float64 and rounded to float32 once. */
export function weightedSum(...terms: readonly Term[]): Float32Array {
  const [first, ...rest] = terms;
  if (first === undefined) throw new Error("internal: a sum needs a term");
  const out = new Float64Array(first[1].length);
  for (const [factor, array] of [first, ...rest]) {
    for (let i = 0; i < out.length; i++) out[i]! += factor * array[i]!;
  }
  return Float32Array.from(out);
}
