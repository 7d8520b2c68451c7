/** @file What the two KDPM2 schedulers share: a network call halfway (in log sigma) between two sigmas. */

import { f32, roundHalfEven } from "../arithmetic.js";
import { dividedDifference, weightedSum } from "../vector.js";
import { commonDefaults, type SchedulerSettings } from "./config-fields.js";
import type { StepResult, TimestepOptions } from "./scheduler.js";
import { type SigmaLevels, SigmaScheduler } from "./sigma-scheduler.js";
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

/** Where one network call stands: its step's sigma, the sigma halfway, and whether it is the halfway call. */
type Stage = { readonly sigma: number; readonly middle: number; readonly isSecond: boolean };

/** DPM-Solver-2 of Karras et al. (arXiv 2206.00364), algorithm 2 as in k-diffusion's `sample_dpm_2`. */
export abstract class MidpointScheduler extends SigmaScheduler {
  override readonly order = 2;
  /** Sigma halfway, laid out like `sigmas`: the first once, the others twice. */
  protected middles: readonly number[] = [];
  private before: Float32Array | undefined = undefined;

  /** Where a step from sigmas[k] is halfway, for each k; the timesteps between are those of `between`. */
  protected abstract halfway(sigmas: readonly number[]): { middles: number[]; between: readonly number[] };
  /** The place in `middles` of the call at `index`. */
  protected abstract middleIndex(index: number, isSecond: boolean): number;

  setTimesteps(numInferenceSteps: number | undefined, options: TimestepOptions = {}): void {
    const { count } = this.checked(numInferenceSteps, options);
    const { timesteps, sigmas } = this.rounded(this.levels(this.settings, count));
    const all = [...sigmas, 0].map(f32);
    const { middles, between } = this.halfway(all);
    const halfTimesteps = between.map((sigma) =>
      f32(timestepOfSigma(sigma, this.logTrained, { single: true })),
    );
    const [first, ...rest] = timesteps;
    this.begin([first!, ...rest.flatMap((t, i) => [halfTimesteps[i]!, t])], doubled(all));
    this.middles = doubled(middles);
    this.before = undefined;
  }

  protected override inputSigma(index: number): number {
    const { sigma, middle, isSecond } = this.stageOf(index);
    return isSecond ? middle : sigma;
  }

  protected stageOf(index: number): Stage {
    const isSecond = this.before !== undefined;
    const middle = this.middles[this.middleIndex(index, isSecond)] ?? Number.NaN;
    return { sigma: this.sigma(isSecond ? index - 1 : index), middle, isSecond };
  }

  /** One call: to the sigma halfway, or from the step's beginning to `target` with the slope found halfway. */
  protected advance(
    output: Float32Array,
    sample: Float32Array,
    index: number,
    target: (place: Stage) => number,
  ): StepResult {
    const type = this.prediction("epsilon", "v_prediction");
    const place = this.stageOf(index);
    const level = place.isSecond ? place.middle : place.sigma;
    const clean = this.clean(type, output, sample, level);
    const derivative = dividedDifference(sample, clean, level);
    const origin = this.before ?? sample;
    this.before = place.isSecond ? undefined : sample;
    this.stepIndex = index + 1;
    const to = place.isSecond ? target(place) : place.middle;
    return {
      prevSample: weightedSum([1, origin], [f32(to - place.sigma), derivative]),
      predOriginalSample: clean,
    };
  }

  /** Karras timesteps are rounded here; the other ladders stay fractional, in float64. */
  private rounded({ timesteps, sigmas }: SigmaLevels): SigmaLevels {
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
