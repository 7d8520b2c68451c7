/** @file Prediction types: the clean sample and the noise from a network's output. Must not import schedulers. */

import { f32 } from "./arithmetic.js";
import { weightedSum } from "./vector.js";

/**
 * What a network predicts (prediction_type): the noise, the velocity, the clean sample (two names), or the velocity
 * of flow matching.
 */
export type PredictionType = "epsilon" | "v_prediction" | "sample" | "original_sample" | "flow_prediction";

export const predictionTypes: readonly PredictionType[] = [
  "epsilon",
  "v_prediction",
  "sample",
  "original_sample",
  "flow_prediction",
];

/** Noisy sample = alpha * clean + sigma * noise. alpha is 1 where variance explodes; else alpha^2 + sigma^2 = 1. */
export type Level = { readonly alpha: number; readonly sigma: number };

/** Level of a variance-preserving process from its noise-to-signal ratio sigma / alpha. */
export function preservingLevel(sigma: number): Level {
  const alpha = f32(1 / f32(Math.sqrt(f32(f32(sigma * sigma) + 1))));
  return { alpha, sigma: f32(sigma * alpha) };
}

/** Level at alpha-bar, the cumulative product of 1 - beta (Ho et al., "Denoising Diffusion Probabilistic Models"). */
export function levelOfAlphaBar(alphaBar: number): Level {
  return { alpha: f32(Math.sqrt(alphaBar)), sigma: f32(Math.sqrt(f32(1 - alphaBar))) };
}

/**
 * The clean sample. v is Salimans and Ho's velocity (arXiv 2202.00512, appendix D) of the variance-preserving
 * sample, so it is divided by the level's norm; flow_prediction is noise - clean (Lipman et al., 2210.02747).
 */
export function predictClean(
  type: PredictionType,
  output: Float32Array,
  sample: Float32Array,
  { alpha, sigma }: Level,
): Float32Array {
  const norm = normOf(alpha, sigma);
  switch (type) {
    case "epsilon":
      return weightedSum([1, sample], [-sigma, output]).map((x) => x / alpha);
    case "v_prediction":
      return weightedSum([alpha / f32(norm * norm), sample], [-f32(sigma / norm), output]);
    case "sample":
    case "original_sample":
      return output;
    case "flow_prediction":
      return weightedSum([1, sample], [-sigma, output]);
  }
  return type satisfies never;
}

/** The noise in `sample`, given the network's output. */
export function predictNoise(
  type: PredictionType,
  output: Float32Array,
  sample: Float32Array,
  level: Level,
): Float32Array {
  const { alpha, sigma } = level;
  const norm = normOf(alpha, sigma);
  if (type === "epsilon") return output;
  if (type === "v_prediction") return weightedSum([alpha / norm, output], [sigma / f32(norm * norm), sample]);
  return noiseOf(predictClean(type, output, sample, level), sample, level);
}

/** The noise that together with `clean` makes up `sample`. */
export function noiseOf(clean: Float32Array, sample: Float32Array, { alpha, sigma }: Level): Float32Array {
  return weightedSum([1, sample], [-alpha, clean]).map((x) => x / sigma);
}

/** v = alpha * noise - sigma * clean, the target of a v-prediction network in training. */
export function velocity(clean: Float32Array, noise: Float32Array, { alpha, sigma }: Level): Float32Array {
  return weightedSum([alpha, noise], [-sigma, clean]);
}

/** float32 makes alpha^2 + sigma^2 miss 1 by a rounding; Diffusers takes it to be 1. */
function normOf(alpha: number, sigma: number): number {
  return alpha === 1 ? f32(Math.sqrt(f32(1 + f32(sigma * sigma)))) : 1;
}
