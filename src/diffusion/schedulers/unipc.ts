/** @file The UniPC scheduler: a multistep predictor, and a corrector that reuses the next network call. */

import { InvalidRequest } from "../../errors.js";
import { f32 } from "../arithmetic.js";
import { solve } from "../linear-system.js";
import { predictNoise } from "../prediction.js";
import { solverTimesteps } from "../spacing.js";
import { dividedDifference, type Term, weightedSum } from "../vector.js";
import type { SchedulerFields, SchedulerKind } from "./config.js";
import type { SchedulerSettings } from "./config-fields.js";
import { LambdaScheduler, lambdaOf, solverDefaults } from "./lambda-scheduler.js";
import type { StepOptions, StepResult, TimestepOptions } from "./scheduler.js";

const defaults = {
  ...solverDefaults,
  predictX0: true,
  solverType: "bh2",
  lowerOrderFinal: true,
  disableCorrector: [],
  solverP: null,
  timestepSpacing: "linspace",
  stepsOffset: 0,
  finalSigmasType: "zero",
  rescaleBetasZeroSnr: false,
} as const satisfies Partial<SchedulerSettings>;

const kind: SchedulerKind = {
  className: "UniPCMultistepScheduler",
  defaults,
  adapt: ({ solverType }) => (solverType === "bh1" || solverType === "bh2" ? {} : { solverType: "bh2" }),
};

/** A network call already made: what the solver integrates, and the lambda it was made at. */
type Call = { readonly value: Float32Array; readonly lambda: number };

/** Zhao et al., "UniPC: A Unified Predictor-Corrector Framework" (arXiv 2302.04867), algorithms 5 to 8. */
export class UniPCMultistepScheduler extends LambdaScheduler {
  /** The latest first. */
  #calls: readonly Call[] = [];
  #last: { readonly sample: Float32Array; readonly order: number } | undefined = undefined;

  constructor(source: SchedulerFields = {}, overrides: SchedulerFields = {}) {
    super(kind, source, overrides);
  }

  setTimesteps(numInferenceSteps: number | undefined, options: TimestepOptions = {}): void {
    const { count } = this.checkArguments(numInferenceSteps, options);
    const { finalSigmasType } = this.settings;
    const plain = solverTimesteps(this.settings, count);
    this.setSigmaSchedule(plain, count, {
      endsOnSchedule: true,
      rounds: true,
      finalSigmasType,
      flowsFromOne: true,
    });
    this.#calls = [];
    this.#last = undefined;
  }

  step(output: Float32Array, timestep: number, sample: Float32Array, options: StepOptions = {}): StepResult {
    this.checkHasTimesteps();
    this.checkSameLength(output, sample);
    const index = this.stepIndexFor(timestep);
    const { solverOrder, lowerOrderFinal, disableCorrector } = this.settings;
    const { clean, value } = this.#modelValue(index, output, sample, options.batch);
    const corrects = index > 0 && this.#last !== undefined && !disableCorrector.includes(index - 1);
    const corrected = corrects ? this.#correct(index, value) : sample;
    const call = { value, lambda: lambdaOf(this.levelAt(index)) };
    this.#calls = [call, ...this.#calls].slice(0, solverOrder);
    const left = this.timesteps.length - index;
    const order = Math.min(this.#calls.length, lowerOrderFinal ? Math.min(solverOrder, left) : solverOrder);
    if (order > 1 && this.sigma(index + 1) === 0) {
      const rule = "must be true where the last sigma is 0, got false: only a first-order step leads there.";
      throw new InvalidRequest("lower_order_final", false, rule);
    }
    this.#last = { sample: corrected, order };
    this.stepIndex = index + 1;
    return { prevSample: this.#predict(index, corrected, order), predOriginalSample: clean };
  }

  #modelValue(index: number, output: Float32Array, sample: Float32Array, batch: number | undefined) {
    const usual = ["epsilon", "v_prediction", "sample"] as const;
    if (this.settings.predictX0) {
      const type = this.predictionType(...usual, "flow_prediction");
      const clean = this.predictCleanAt(index, type, output, sample, batch);
      return { clean, value: clean };
    }
    const type = this.predictionType(...usual);
    const clean = this.predictCleanAt(index, type, output, sample, batch);
    return { clean, value: predictNoise(type, output, sample, this.levelAt(index)) };
  }

  /** UniP: from `index` to the next sigma, with the values of `order` calls. */
  #predict(index: number, sample: Float32Array, order: number): Float32Array {
    const { base, scale, ratios, matrix, right } = this.#system(index, order, sample);
    const nodes = ratios.slice(0, -1);
    const inner = matrix.slice(0, -1).map((row) => row.slice(0, -1));
    const weights = order === 2 ? [0.5] : solve(inner, right.slice(0, -1));
    const differences = this.#differences(nodes);
    if (differences.length === 0) return base;
    return weightedSum([1, base], [scale, weightedSum(...differences.map((d, i): Term => [weights[i]!, d]))]);
  }

  /** UniC: repeats the step that led to `index`, now with the value found there too. */
  #correct(index: number, value: Float32Array): Float32Array {
    const { sample, order } = this.#last!;
    const { base, scale, ratios, matrix, right } = this.#system(index - 1, order, sample);
    const weights = order === 1 ? [0.5] : solve(matrix, right);
    const newest = dividedDifference(value, this.#calls[0]!.value, 1);
    const differences = [...this.#differences(ratios.slice(0, -1)), newest];
    return weightedSum([1, base], [scale, weightedSum(...differences.map((d, i): Term => [weights[i]!, d]))]);
  }

  /** (value_i - value_0) / ratio_i of the earlier calls. */
  #differences(ratios: readonly number[]): Float32Array[] {
    return ratios.map((ratio, i) =>
      dividedDifference(this.#calls[i + 1]!.value, this.#calls[0]!.value, ratio),
    );
  }

  /**
   * The first-order step from `index` and the order conditions R(h) a = phi(h) / B(h) of equation 11 for the
   * corrections to it. In float32, as Diffusers' rounding of the phi functions is not small.
   */
  #system(index: number, order: number, sample: Float32Array) {
    const { predictX0, solverType } = this.settings;
    const [from, to] = [this.levelAt(index), this.levelAt(index + 1)];
    const origin = this.#calls[0]!;
    const h = f32(lambdaOf(to) - origin.lambda);
    const z = predictX0 ? -h : h;
    const phi = f32(Math.expm1(z));
    const b = solverType === "bh1" ? z : phi;
    const [weight, keep] = predictX0 ? [to.alpha, to.sigma / from.sigma] : [to.sigma, to.alpha / from.alpha];
    const base = weightedSum([f32(keep), sample], [-f32(weight * phi), origin.value]);
    const others = this.#calls.slice(1, order).map(({ lambda }) => f32(f32(lambda - origin.lambda) / h));
    const ratios = [...others, 1];
    const matrix = ratios.map((_, power) => ratios.map((ratio) => f32(ratio ** power)));
    return { base, scale: -f32(weight * b), ratios, matrix, right: conditions(order, z, phi, b) };
  }
}

/** phi_k(z) k! / B for k = 1 .. order, by the recursion phi_(k+1) = phi_k / z - 1 / (k + 1)!. */
function conditions(order: number, z: number, phi: number, b: number): number[] {
  let current = f32(f32(phi / z) - 1);
  let factorial = 1;
  return Array.from({ length: order }, (_, i) => {
    const value = f32(f32(current * factorial) / b);
    factorial *= i + 2;
    current = f32(f32(current / z) - f32(1 / factorial));
    return value;
  });
}
