/** @file The mean squares of the teacher's features, by which `ratio_of_squares` divides their errors. */

import { floats, floatsOf, type Values } from "../engine/engine.js";
import { teacherFeature, teacherMeanSquare } from "./step.js";

/**
 * For each of `paths` the mean over the whole batch, as an input with a number for each sample: shares of a batch that
 * are computed apart divide by the same. results: the teacher's.
 */
export function meanSquares(
  results: Readonly<Record<string, Values>>,
  paths: Iterable<string>,
): Record<string, Values> {
  const inputs: Record<string, Values> = {};
  for (const path of new Set(paths)) {
    const { shape } = results[teacherFeature(path)]!;
    const numbers = floatsOf(results[teacherFeature(path)]);
    let sum = 0;
    for (let i = 0; i < numbers.length; i++) sum += numbers[i]! * numbers[i]!;
    inputs[teacherMeanSquare(path)] = floats(
      new Float32Array(shape[0]!).fill(sum / numbers.length),
      shape[0]!,
    );
  }
  return inputs;
}
