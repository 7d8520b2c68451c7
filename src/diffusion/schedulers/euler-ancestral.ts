/** @file The Euler ancestral scheduler: a step to below the next sigma, then noise up to it. */

import { f32 } from "../arithmetic.js";
import { ancestralSigmas } from "../posterior.js";
import { dividedDifference, weightedSum } from "../vector.js";
import type { SchedulerFields } from "./config.js";
import { commonDefaults, type SchedulerSettings } from "./config-fields.js";
import type { StepOptions, StepResult, TimestepOptions } from "./scheduler.js";
import { SigmaScheduler } from "./sigma-scheduler.js";

const defaults = {
  ...commonDefaults,
  timestepSpacing: "linspace",
  stepsOffset: 0,
  rescaleBetasZeroSnr: false,
} as const satisfies Partial<SchedulerSettings>;

/** Crowson's `sample_euler_ancestral` (k-diffusion): Euler with the variance of Ho et al.'s ancestral sampling. */
export class EulerAncestralDiscreteScheduler extends SigmaScheduler {
  constructor(source: SchedulerFields = {}, overrides: SchedulerFields = {}) {
    super({ className: "EulerAncestralDiscreteScheduler", defaults }, source, overrides);
  }

  setTimesteps(numInferenceSteps: number | undefined, options: TimestepOptions = {}): void {
    const { count } = this.checkArguments(numInferenceSteps, options);
    const { timesteps, sigmas } = this.spacedSigmas(count);
    this.setSchedule(timesteps, [...sigmas, 0]);
  }

  step(output: Float32Array, timestep: number, sample: Float32Array, options: StepOptions = {}): StepResult {
    this.checkSameLength(output, sample);
    const type = this.predictionType("epsilon", "v_prediction");
    const noise = this.drawNoise(sample.length, options);
    const index = this.stepIndexFor(timestep);
    const sigma = this.sigma(index);
    const { up, down } = ancestralSigmas(sigma, this.sigma(index + 1));
    const clean = this.predictClean(type, output, sample, sigma);
    const derivative = dividedDifference(sample, clean, sigma);
    this.stepIndex = index + 1;
    const prevSample = weightedSum([1, sample], [f32(down - sigma), derivative], [up, noise]);
    return { prevSample, predOriginalSample: clean };
  }
}
