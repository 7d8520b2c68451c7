/** @file The base class of the two KDPM2 schedulers: a network call halfway (in log sigma) between two sigmas. */

import { f32, roundHalfEven } from "../arithmetic.js";
import { dividedDifference, weightedSum } from "../vector.js";
import { commonDefaults, type SchedulerSettings } from "./config-fields.js";
import type { StepResult, TimestepOptions } from "./scheduler.js";
import { SigmaScheduler, type SpacedSigmas } from "./sigma-scheduler.js";
import { sigmaScheduleOf, timestepOfSigma } from "./sigmas.js";

export const midpointDefaults = {
  ...commonDefaults,
  betaStart: 0.00085,
  betaEnd: 0.012,
  useKarrasSigmas: false,
  useExponentialSigmas: false,
  useBetaSigmas: false,
  timestepSpacing: "linspace",
  stepsOffset: 0,
} as const satisfies Partial<SchedulerSettings>;

/** One network call: its step's sigma, the sigma halfway, and whether it is the second call, at the sigma halfway. */
export type NetworkCall = { readonly sigma: number; readonly middle: number; readonly isSecond: boolean };

/** DPM-Solver-2 of Karras et al. (arXiv 2206.00364), algorithm 2 as in k-diffusion's `sample_dpm_2`. */
export abstract class MidpointScheduler extends SigmaScheduler {
  override readonly order = 2;
  /** Sigma halfway, laid out like `sigmas`: the first once, the others twice. */
  protected middles: readonly number[] = [];
  #before: Float32Array | undefined = undefined;

  /** The sigma halfway of a step from sigmas[k], for each k; `between` are those whose timesteps are called. */
  protected abstract halfway(sigmas: readonly number[]): { middles: number[]; between: readonly number[] };
  /** The index in `middles` of the call at `index`. */
  protected abstract middleIndex(index: number, isSecond: boolean): number;

  setTimesteps(numInferenceSteps: number | undefined, options: TimestepOptions = {}): void {
    const { count } = this.checkArguments(numInferenceSteps, options);
    const { timesteps, sigmas } = this.#rounded(this.spacedSigmas(count));
    const all = [...sigmas, 0].map(f32);
    const { middles, between } = this.halfway(all);
    const halfTimesteps = between.map((sigma) =>
      f32(timestepOfSigma(sigma, this.logTrainingSigmas, { single: true })),
    );
    const [first, ...rest] = timesteps;
    this.setSchedule([first!, ...rest.flatMap((t, i) => [halfTimesteps[i]!, t])], doubled(all));
    this.middles = doubled(middles);
    this.#before = undefined;
  }

  protected override inputSigma(index: number): number {
    const { sigma, middle, isSecond } = this.callAt(index);
    return isSecond ? middle : sigma;
  }

  protected callAt(index: number): NetworkCall {
    const isSecond = this.#before !== undefined;
    const middle = this.middles[this.middleIndex(index, isSecond)] ?? Number.NaN;
    return { sigma: this.sigma(isSecond ? index - 1 : index), middle, isSecond };
  }

  /** One call: to the sigma halfway, or from the step's beginning to `target` with the slope found halfway. */
  protected advance(
    output: Float32Array,
    sample: Float32Array,
    index: number,
    target: (call: NetworkCall) => number,
  ): StepResult {
    const type = this.predictionType("epsilon", "v_prediction");
    const call = this.callAt(index);
    const level = call.isSecond ? call.middle : call.sigma;
    const clean = this.predictClean(type, output, sample, level);
    const derivative = dividedDifference(sample, clean, level);
    const origin = this.#before ?? sample;
    this.#before = call.isSecond ? undefined : sample;
    this.stepIndex = index + 1;
    const to = call.isSecond ? target(call) : call.middle;
    return {
      prevSample: weightedSum([1, origin], [f32(to - call.sigma), derivative]),
      predOriginalSample: clean,
    };
  }

  /** Karras timesteps are rounded here; those of other sigma schedules stay fractional, in float64. */
  #rounded({ timesteps, sigmas }: SpacedSigmas): SpacedSigmas {
    return sigmaScheduleOf(this.settings) === "karras"
      ? { sigmas, timesteps: timesteps.map(roundHalfEven) }
      : { timesteps, sigmas };
  }
}

/** The geometric mean of two sigmas: halfway in log sigma. */
export function betweenSigmas(from: number, to: number): number {
  return f32(Math.sqrt(from * to));
}

/** Diffusers' layout: the first value once, the others twice, the last once more. */
export function doubled(values: readonly number[]): number[] {
  const [first, ...rest] = values;
  return [first!, ...rest.flatMap((value) => [value, value]), values[values.length - 1]!];
}
