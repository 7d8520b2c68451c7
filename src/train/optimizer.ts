/**
 * @file AdamW, clipping, accumulation and the moving average of the weights, in place over whole arrays: one pass over
 * memory for an update, where a program of elementwise operations makes a dozen.
 */

import { adamw, approach, scaledSum, sumOfSquares } from "./vectors/vectors.js";

/** Loshchilov and Hutter 2019 (https://arxiv.org/abs/1711.05101), with PyTorch's defaults elsewhere. */
export type AdamWOptions = { beta1: number; beta2: number; epsilon: number; weightDecay: number };

/** float32[total] each; `average` and `target` only where they are kept. */
export type OptimizerState = {
  weights: Float32Array;
  /** First and second moment of the gradient: PyTorch's `exp_avg` and `exp_avg_sq`. */
  mean: Float32Array;
  square: Float32Array;
  average: Float32Array | undefined;
  /** The weights of consistency distillation's target network, which follow the student's. */
  target?: Float32Array | undefined;
};

export type Update = {
  /** Counted from 1. */
  step: number;
  learningRate: number;
  /** The gradients are divided by this first: how many were accumulated. */
  accumulated: number;
  /** Largest norm of the gradient; undefined does not clip. */
  maxNorm: number | undefined;
  /** The moving average's decay at this step. */
  emaDecay: number | undefined;
  /** The target network's decay. */
  targetDecay?: number | undefined;
};

export class AdamW {
  readonly #options: AdamWOptions;

  constructor(options: AdamWOptions) {
    this.#options = options;
  }

  /** sum += gradient */
  accumulate(sum: Float32Array, gradient: Float32Array): void {
    scaledSum(sum, sum, gradient, 1);
  }

  /**
   * One update of `state` by `gradients`, which it leaves as they are; returns the gradient's norm before clipping. It is
   * fastest where all arrays were made by one call of `vectors`.
   */
  update(state: OptimizerState, gradients: Float32Array, update: Update): { norm: number } {
    const { accumulated, maxNorm, emaDecay, targetDecay, step, learningRate } = update;
    const { beta1, beta2, epsilon, weightDecay } = this.#options;
    const norm = Math.sqrt(sumOfSquares(gradients)) / accumulated;
    const clip = maxNorm === undefined ? 1 : Math.min(1, maxNorm / (norm + 1e-6));
    adamw(state, gradients, {
      scale: clip / accumulated,
      beta1,
      beta2,
      decay: learningRate * weightDecay,
      rate: learningRate / (1 - beta1 ** step),
      correction: 1 / Math.sqrt(1 - beta2 ** step),
      epsilon,
    });
    if (state.average && emaDecay !== undefined) follow(state.average, state.weights, emaDecay);
    if (state.target && targetDecay !== undefined) follow(state.target, state.weights, targetDecay);
    return { norm };
  }
}

/** average -= (1 - decay) (average - weights), which at decay 0 is a copy in every bit */
function follow(average: Float32Array, weights: Float32Array, decay: number): void {
  if (decay === 0) average.set(weights);
  else approach(average, weights, 1 - decay);
}
