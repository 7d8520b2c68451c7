/** @file A moving average of weights that are given, not computed: the optimizer's own, without an update. */

import type { AdamW } from "../../src/train/optimizer.js";

/** One step of `average` towards `weights`. At a learning rate of 0 an update by nothing leaves the weights as they are. */
export async function updateAverage(
  optimizer: AdamW,
  average: Float32Array,
  weights: Float32Array,
  emaDecay: number,
): Promise<void> {
  const zeros = () => new Float32Array(weights.length);
  const state = { weights: weights.slice(), mean: zeros(), square: zeros(), average };
  const still = { step: 1, learningRate: 0, accumulated: 1, maxNorm: undefined, emaDecay };
  optimizer.update(state, zeros(), still);
}
