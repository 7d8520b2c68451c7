/**
 * @file AdamW, clipping, accumulation and the moving average of the weights, in place over whole arrays. Plain loops:
 * one pass over memory in double precision is faster than a program of a dozen elementwise operations, each a pass of
 * its own (61 against 110 ms for 13.6 million weights), and nothing has to be said about results over inputs.
 */

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
    for (let i = 0; i < sum.length; i++) sum[i] = sum[i]! + gradient[i]!;
  }

  /** One update of `state` by `gradients`, which it leaves as they are; returns the gradient's norm before clipping. */
  update(state: OptimizerState, gradients: Float32Array, update: Update): { norm: number } {
    const { accumulated, maxNorm, emaDecay, targetDecay } = update;
    const norm = Math.sqrt(squaredNorm(gradients)) / accumulated;
    const clip = maxNorm === undefined ? 1 : Math.min(1, maxNorm / (norm + 1e-6));
    move(state, gradients, clip / accumulated, this.#options, update);
    if (state.average && emaDecay !== undefined) follow(state.average, state.weights, emaDecay);
    if (state.target && targetDecay !== undefined) follow(state.target, state.weights, targetDecay);
    return { norm };
  }
}

function move(
  { weights, mean, square }: OptimizerState,
  gradients: Float32Array,
  scale: number,
  { beta1, beta2, epsilon, weightDecay }: AdamWOptions,
  { step, learningRate }: Update,
): void {
  const keep = 1 - learningRate * weightDecay;
  const stepSize = learningRate / (1 - beta1 ** step);
  const correction = 1 / Math.sqrt(1 - beta2 ** step);
  for (let i = 0; i < weights.length; i++) {
    const g = gradients[i]! * scale;
    const m = mean[i]! + (g - mean[i]!) * (1 - beta1);
    const v = square[i]! * beta2 + g * g * (1 - beta2);
    mean[i] = m;
    square[i] = v;
    weights[i] = weights[i]! * keep - (stepSize * m) / (Math.sqrt(v) * correction + epsilon);
  }
}

/** average -= (1 - decay) (average - weights), which at decay 0 is a copy in every bit */
function follow(average: Float32Array, weights: Float32Array, decay: number): void {
  if (decay === 0) {
    average.set(weights);
    return;
  }
  const rate = 1 - decay;
  for (let i = 0; i < average.length; i++) average[i] = average[i]! - rate * (average[i]! - weights[i]!);
}

/** Four sums side by side: one alone waits for its own last addition. */
function squaredNorm(gradients: Float32Array): number {
  const whole = gradients.length - (gradients.length % 4);
  let [a, b, c, d] = [0, 0, 0, 0];
  for (let i = 0; i < whole; i += 4) {
    a += gradients[i]! * gradients[i]!;
    b += gradients[i + 1]! * gradients[i + 1]!;
    c += gradients[i + 2]! * gradients[i + 2]!;
    d += gradients[i + 3]! * gradients[i + 3]!;
  }
  for (let i = whole; i < gradients.length; i++) a += gradients[i]! * gradients[i]!;
  return a + b + c + d;
}
