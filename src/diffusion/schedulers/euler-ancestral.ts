/** @file Euler's method with ancestral noise: a step down below the next sigma, then noise up to it. */

import { f32 } from "../arithmetic.js";
import { dividedDifference, weightedSum } from "../vector.js";
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
  constructor(
    source: Readonly<Record<string, unknown>> = {},
    overrides: Readonly<Record<string, unknown>> = {},
  ) {
    super({ className: "EulerAncestralDiscreteScheduler", defaults }, source, overrides);
  }

  setTimesteps(numInferenceSteps: number | undefined, options: TimestepOptions = {}): void {
    const { count } = this.checked(numInferenceSteps, options);
    const { timesteps, sigmas } = this.levels(this.settings, count);
    this.begin(timesteps, [...sigmas, 0]);
  }

  step(output: Float32Array, timestep: number, sample: Float32Array, options: StepOptions = {}): StepResult {
    this.refuseUnlike(output, sample);
    const type = this.prediction("epsilon", "v_prediction");
    const noise = this.noise(sample.length, options);
    const index = this.place(timestep);
    const sigma = this.sigma(index);
    const { up, down } = ancestralSigmas(sigma, this.sigma(index + 1));
    const clean = this.clean(type, output, sample, sigma);
    const derivative = dividedDifference(sample, clean, sigma);
    this.stepIndex = index + 1;
    const prevSample = weightedSum([1, sample], [f32(down - sigma), derivative], [up, noise]);
    return { prevSample, predOriginalSample: clean };
  }
}

/**
 * `up`: noise added after the step; `down`: where the step goes; up^2 + down^2 = to^2. In float64: Diffusers takes
 * the difference of float32 squares, which between distant sigmas keeps no digit and may even turn out negative.
 */
export function ancestralSigmas(from: number, to: number): { up: number; down: number } {
  const down = (to * to) / from;
  return { up: Math.sqrt(to * to - down * down), down };
}
