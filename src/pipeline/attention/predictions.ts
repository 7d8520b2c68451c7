/** @file The clean image that a step predicts, by its guided prediction and by each of the two that guidance is made of. */

import type { DenoiseStep } from "../denoise.js";

/** Clean latents [C, h, w] of one image, as they are predicted in a step. */
export type CleanPredictions = {
  /** With guidance: what the step moves towards. */
  guided: Float32Array;
  /** By the prediction for the prompt alone, and by that for the negative prompt alone. */
  prompt: Float32Array;
  negative: Float32Array | undefined;
  /** Length of the difference of the two predictions over that of the one for the negative prompt. */
  difference: number | undefined;
};

type Predicting = Pick<
  DenoiseStep,
  "modelInput" | "noisePred" | "noisePredText" | "noisePredUncond" | "predOriginalSample"
>;

/**
 * Of the i-th of a batch. Whatever the network predicts (noise, velocity, the sample), the clean sample is a sum of factors
 * times its input and its output; the factors are found from the guided prediction, by least squares: of a scheduler that clips its
 * samples, the nearest.
 */
export function cleanPredictions(step: Predicting, i: number, batch: number): CleanPredictions {
  const of = (all: Float32Array) => all.subarray((i * all.length) / batch, ((i + 1) * all.length) / batch);
  const guided = of(step.predOriginalSample);
  // Inpainting U-Nets read further channels behind the latents.
  const input = of(step.modelInput).subarray(0, guided.length);
  const [a, b] = factors(guided, input, of(step.noisePred));
  const clean = (output: Float32Array) => output.map((value, at) => a * input[at]! + b * value);
  const text = of(step.noisePredText);
  const uncond = step.noisePredUncond && of(step.noisePredUncond);
  return {
    guided: guided.slice(),
    prompt: clean(text),
    negative: uncond && clean(uncond),
    difference: uncond && norm(text.map((value, at) => value - uncond[at]!)) / norm(uncond),
  };
}

/** a and b of a x + b y nearest to z. */
function factors(z: Float32Array, x: Float32Array, y: Float32Array): [number, number] {
  const [xx, xy, yy, xz, yz] = [dot(x, x), dot(x, y), dot(y, y), dot(x, z), dot(y, z)];
  const determinant = xx * yy - xy * xy;
  if (determinant <= 1e-12 * xx * yy) return [xz / xx, 0]; // one is a multiple of the other
  return [(xz * yy - yz * xy) / determinant, (yz * xx - xz * xy) / determinant];
}

function dot(x: Float32Array, y: Float32Array): number {
  let sum = 0;
  for (let i = 0; i < x.length; i++) sum += x[i]! * y[i]!;
  return sum;
}

const norm = (x: Float32Array): number => Math.sqrt(dot(x, x));
