/** @file The Heun scheduler: Heun's method on the probability-flow ODE, two network calls for each step but the last. */

import { f32 } from "../arithmetic.js";
import { dividedDifference, weightedSum } from "../vector.js";
import { clipSample } from "./clip-sample.js";
import type { SchedulerFields } from "./config.js";
import { commonDefaults, type SchedulerSettings } from "./config-fields.js";
import type { StepOptions, StepResult, TimestepOptions } from "./scheduler.js";
import { SigmaScheduler } from "./sigma-scheduler.js";

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

/** What the second call of a step needs of the first. */
type Halfway = { readonly sample: Float32Array; readonly derivative: Float32Array; readonly dt: number };

/** Karras et al., "Elucidating the Design Space of Diffusion-Based Generative Models", algorithm 1. */
export class HeunDiscreteScheduler extends SigmaScheduler {
  override readonly order = 2;
  #halfway: Halfway | undefined = undefined;

  constructor(source: SchedulerFields = {}, overrides: SchedulerFields = {}) {
    super({ className: "HeunDiscreteScheduler", defaults, extraBetaSchedule: "exp" }, source, overrides);
    this.setTimesteps(this.settings.numTrainTimesteps);
  }

  setTimesteps(numInferenceSteps: number | undefined, options: TimestepOptions = {}): void {
    const checked = this.checkArguments(numInferenceSteps, options, ["timesteps"]);
    const { timesteps, sigmas } = this.spacedSigmas(checked.count, checked.timesteps);
    const [first, ...rest] = timesteps.map(f32);
    const [firstSigma, ...otherSigmas] = sigmas;
    this.setSchedule([first!, ...twice(rest)], [firstSigma!, ...twice(otherSigmas), 0]);
    this.#halfway = undefined;
  }

  step(output: Float32Array, timestep: number, sample: Float32Array, options: StepOptions = {}): StepResult {
    this.checkSameLength(output, sample);
    const type = this.predictionType("epsilon", "v_prediction", "sample");
    const index = this.stepIndexFor(timestep);
    const sigma = this.sigma(index);
    const predicted = this.predictClean(type, output, sample, sigma);
    const predOriginalSample = clipSample(predicted, this.settings, options.batch);
    const derivative = dividedDifference(sample, predOriginalSample, sigma);
    this.stepIndex = index + 1;
    return { prevSample: this.#advanced(sample, derivative, index), predOriginalSample };
  }

  #advanced(sample: Float32Array, derivative: Float32Array, index: number): Float32Array {
    if (this.#halfway === undefined) {
      const dt = f32(this.sigma(index + 1) - this.sigma(index));
      this.#halfway = { sample, derivative, dt };
      return weightedSum([1, sample], [dt, derivative]);
    }
    const { sample: before, derivative: earlier, dt } = this.#halfway;
    this.#halfway = undefined;
    return weightedSum([1, before], [dt / 2, weightedSum([1, earlier], [1, derivative])]);
  }
}

function twice(values: readonly number[]): number[] {
  return values.flatMap((value) => [value, value]);
}
