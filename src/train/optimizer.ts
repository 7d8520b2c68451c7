/**
 * @file AdamW, clipping, accumulation and the moving average of the weights, over flat arrays. These are programs of
 * the engine as well, run piece by piece so that a piece stays in the processor's cache; their results are written
 * over their inputs, which is safe here because every old value is read once, by what its new value is made of.
 */

import { floats } from "../engine/engine.js";
import { lower } from "../engine/lower.js";
import type { BlockingEngine, BlockingSession } from "../engine/ort.js";
import { add, div, input, mul, sqrt, sub, type Tensor } from "../tensor/tensor.js";

/** Loshchilov and Hutter 2019 (https://arxiv.org/abs/1711.05101), in PyTorch's order of operations. */
export type AdamWOptions = { beta1: number; beta2: number; epsilon: number; weightDecay: number };

/** float32[total] each; `average` only where a moving average is kept. */
export type OptimizerState = {
  weights: Float32Array;
  /** First and second moment of the gradient: PyTorch's `exp_avg` and `exp_avg_sq`. */
  mean: Float32Array;
  square: Float32Array;
  average: Float32Array | undefined;
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
};

/** Numbers of a piece: seven arrays of this length fit in the third-level cache. */
const piece = 1 << 18;

type Sessions = Record<"accumulate" | "update" | "follow", BlockingSession>;

export class AdamW {
  readonly #options: AdamWOptions;
  readonly #sessions: Sessions;

  private constructor(options: AdamWOptions, sessions: Sessions) {
    this.#options = options;
    this.#sessions = sessions;
  }

  static async load(engine: BlockingEngine, options: AdamWOptions): Promise<AdamW> {
    const load = (name: string, outputs: Record<string, Tensor>) => engine.load(lower(name, outputs));
    return new AdamW(options, {
      accumulate: await load("accumulate", { sum: add(vector("sum_in"), vector("gradient")) }),
      update: await load("update", adamW()),
      follow: await load("follow", follow()),
    });
  }

  /** sum += gradient */
  async accumulate(sum: Float32Array, gradient: Float32Array): Promise<void> {
    for (const [start, end] of pieces(sum.length)) {
      const into = vec(sum, start, end);
      await this.#sessions.accumulate.runInto(
        { sum_in: into, gradient: vec(gradient, start, end) },
        { sum: into },
      );
    }
  }

  /** One update of `state` by `gradients`, which it leaves as they are; returns the gradient's norm before clipping. */
  async update(state: OptimizerState, gradients: Float32Array, update: Update): Promise<{ norm: number }> {
    const norm = Math.sqrt(squaredNorm(gradients)) / update.accumulated;
    const clip = update.maxNorm === undefined ? 1 : Math.min(1, update.maxNorm / (norm + 1e-6));
    const scalars = this.#scalars(update, clip / update.accumulated);
    for (const [start, end] of pieces(gradients.length)) {
      const [weights, mean, square] = [state.weights, state.mean, state.square].map((flat) =>
        vec(flat, start, end),
      );
      await this.#sessions.update.runInto(
        {
          weights_in: weights!,
          mean_in: mean!,
          square_in: square!,
          gradient: vec(gradients, start, end),
          ...scalars,
        },
        { weights: weights!, mean: mean!, square: square! },
      );
    }
    if (state.average && update.emaDecay !== undefined)
      await this.#follow(state.average, state.weights, update.emaDecay);
    return { norm };
  }

  #scalars({ step, learningRate }: Update, gradientScale: number) {
    const { beta1, beta2, epsilon, weightDecay } = this.#options;
    // A rate of zero, as a warm-up may begin with, must not divide: this one moves no float32.
    const stepSize = Math.max(learningRate, 1e-25) / (1 - beta1 ** step);
    return {
      keep: scalar(1 - learningRate * weightDecay),
      mean_keep: scalar(beta1),
      mean_rate: scalar((1 - beta1) * gradientScale),
      square_keep: scalar(beta2),
      square_rate: scalar((1 - beta2) * gradientScale ** 2),
      root_scale: scalar(1 / (Math.sqrt(1 - beta2 ** step) * stepSize)),
      epsilon: scalar(epsilon / stepSize),
    };
  }

  /** average -= (1 - decay) (average - weights) */
  async #follow(average: Float32Array, weights: Float32Array, decay: number): Promise<void> {
    if (decay === 0) return average.set(weights);
    for (const [start, end] of pieces(average.length)) {
      const into = vec(average, start, end);
      const inputs = { average_in: into, weights: vec(weights, start, end), rate: scalar(1 - decay) };
      await this.#sessions.follow.runInto(inputs, { average: into });
    }
  }
}

const vector = (name: string) => input(name, [{ n: piece }]);
const number = (name: string) => input(name, [1]);
const scalar = (value: number) => floats(Float32Array.of(value), 1);
const vec = (flat: Float32Array, start: number, end: number) =>
  floats(flat.subarray(start, end), end - start);

function* pieces(length: number): Generator<[start: number, end: number]> {
  for (let start = 0; start < length; start += piece) yield [start, Math.min(length, start + piece)];
}

/** In double precision: a sum of millions of squares in float32 loses the digits that clipping scales everything by. */
function squaredNorm(gradients: Float32Array): number {
  let total = 0;
  for (let i = 0; i < gradients.length; i++) total += gradients[i]! * gradients[i]!;
  return total;
}

/** Every scalar is folded into another where PyTorch's result stays within rounding: each pass over a piece counts. */
function adamW(): Record<string, Tensor> {
  const [p, m, v, g] = ["weights_in", "mean_in", "square_in", "gradient"].map(vector) as Four;
  const mean = add(mul(m, number("mean_keep")), mul(g, number("mean_rate")));
  const square = add(mul(v, number("square_keep")), mul(mul(g, number("square_rate")), g));
  const deviation = add(mul(sqrt(square), number("root_scale")), number("epsilon"));
  return { weights: sub(mul(p, number("keep")), div(mean, deviation)), mean, square };
}

type Four = [Tensor, Tensor, Tensor, Tensor];

function follow(): Record<string, Tensor> {
  const [average, weights] = [vector("average_in"), vector("weights")];
  return { average: sub(average, mul(sub(average, weights), number("rate"))) };
}
