/** @file Heun's method on the probability-flow ODE: two network calls for a step, one for the last. */

import { f32 } from "../arithmetic.js";
import { dividedDifference, weightedSum } from "../vector.js";
import { commonDefaults, type SchedulerSettings } from "./config-fields.js";
import type { StepOptions, StepResult, TimestepOptions } from "./scheduler.js";
import { SigmaScheduler } from "./sigma-scheduler.js";
import { limited } from "./threshold.js";

const defaults = {
  ...commonDefaults,
  betaStart: 0.00085,
  betaEnd: 0.012,
  useKarrasSigmas: false,
  useExponentialSigmas: false,
  useBetaSigmas: false,
  clipSample: false,
  clipSampleRange: 1,
  timestepSpacing: "linspace",
  stepsOffset: 0,
} as const satisfies Partial<SchedulerSettings>;

/** What the first call of a step leaves for the second. */
type Halfway = { readonly sample: Float32Array; readonly derivative: Float32Array; readonly dt: number };

/** Karras et al., "Elucidating the Design Space of Diffusion-Based Generative Models", algorithm 1. */
export class HeunDiscreteScheduler extends SigmaScheduler {
  override readonly order = 2;
  private halfway: Halfway | undefined = undefined;

  constructor(
    source: Readonly<Record<string, unknown>> = {},
    overrides: Readonly<Record<string, unknown>> = {},
  ) {
    super({ className: "HeunDiscreteScheduler", defaults, extraBetaSchedule: "exp" }, source, overrides);
    this.setTimesteps(this.settings.numTrainTimesteps);
  }

  setTimesteps(numInferenceSteps: number | undefined, options: TimestepOptions = {}): void {
    const checked = this.checked(numInferenceSteps, options, ["timesteps"]);
    const { timesteps, sigmas } = this.levels(this.settings, checked.count, checked.timesteps);
    const [first, ...rest] = timesteps.map(f32);
    const [firstSigma, ...otherSigmas] = sigmas;
    this.begin([first!, ...twice(rest)], [firstSigma!, ...twice(otherSigmas), 0]);
    this.halfway = undefined;
  }

  step(output: Float32Array, timestep: number, sample: Float32Array, options: StepOptions = {}): StepResult {
    this.refuseUnlike(output, sample);
    const type = this.prediction("epsilon", "v_prediction", "sample");
    const index = this.place(timestep);
    const sigma = this.sigma(index);
    const predicted = this.clean(type, output, sample, sigma);
    const predOriginalSample = limited(predicted, this.settings, options.batch);
    const derivative = dividedDifference(sample, predOriginalSample, sigma);
    this.stepIndex = index + 1;
    return { prevSample: this.advanced(sample, derivative, index), predOriginalSample };
  }

  private advanced(sample: Float32Array, derivative: Float32Array, index: number): Float32Array {
    if (this.halfway === undefined) {
      const dt = f32(this.sigma(index + 1) - this.sigma(index));
      this.halfway = { sample, derivative, dt };
      return weightedSum([1, sample], [dt, derivative]);
    }
    const { sample: before, derivative: earlier, dt } = this.halfway;
    this.halfway = undefined;
    return weightedSum([1, before], [dt / 2, weightedSum([1, earlier], [1, derivative])]);
  }
}

function twice(values: readonly number[]): number[] {
  return values.flatMap((value) => [value, value]);
}
