/** @file Euler's method on the probability-flow ODE. */

import { InvalidRequest } from "../../errors.js";
import { f32, log32 } from "../arithmetic.js";
import { dividedDifference, weightedSum } from "../vector.js";
import { commonDefaults, type SchedulerSettings } from "./config-fields.js";
import type { StepOptions, StepResult, TimestepOptions } from "./scheduler.js";
import { SigmaScheduler } from "./sigma-scheduler.js";
import { logLinearSigmas, timestepOfSigma } from "./sigmas.js";

const defaults = {
  ...commonDefaults,
  interpolationType: "linear",
  useKarrasSigmas: false,
  useExponentialSigmas: false,
  useBetaSigmas: false,
  sigmaMin: null,
  sigmaMax: null,
  timestepSpacing: "linspace",
  timestepType: "discrete",
  stepsOffset: 0,
  rescaleBetasZeroSnr: false,
  finalSigmasType: "zero",
} as const satisfies Partial<SchedulerSettings>;

/** Karras et al., "Elucidating the Design Space of Diffusion-Based Generative Models", algorithm 2 without line 6-8. */
export class EulerDiscreteScheduler extends SigmaScheduler {
  constructor(
    source: Readonly<Record<string, unknown>> = {},
    overrides: Readonly<Record<string, unknown>> = {},
  ) {
    super({ className: "EulerDiscreteScheduler", defaults }, source, overrides);
    if (this.isContinuous) this.timesteps = this.sigmas!.slice(0, -1).map(continuousTimestep);
  }

  setTimesteps(numInferenceSteps: number | undefined, options: TimestepOptions = {}): void {
    const { count, timesteps, sigmas } = this.checked(numInferenceSteps, options, ["timesteps", "sigmas"]);
    if (timesteps && this.isContinuous) {
      const rule = "must not be given with timestep_type continuous and v_prediction. Give sigmas instead.";
      throw new InvalidRequest("timesteps", timesteps, rule);
    }
    const sigmaSchedule = sigmas ? this.customSigmas(sigmas) : this.spacedSigmas(count, timesteps);
    const called = this.isContinuous
      ? sigmaSchedule.sigmas.slice(0, -1).map(continuousTimestep)
      : sigmaSchedule.timesteps;
    this.begin(called.map(f32), sigmaSchedule.sigmas);
  }

  step(output: Float32Array, timestep: number, sample: Float32Array, options: StepOptions = {}): StepResult {
    this.refuseUnlike(output, sample);
    const type = this.prediction("epsilon", "v_prediction", "sample", "original_sample");
    const index = this.place(timestep);
    const sigma = this.sigma(index);
    const { noisier, sigmaHat } = this.churned(sample, sigma, options);
    // Diffusers takes the raised sigma for epsilon but the schedule's own for v.
    const clean = this.clean(type, output, noisier, type === "v_prediction" ? sigma : sigmaHat);
    const derivative = dividedDifference(noisier, clean, sigmaHat);
    this.stepIndex = index + 1;
    const prevSample = weightedSum([1, noisier], [f32(this.sigma(index + 1) - sigmaHat), derivative]);
    return { prevSample, predOriginalSample: clean };
  }

  /** Lines 4 to 6 of the algorithm: raises the noise level by gamma first. */
  private churned(sample: Float32Array, sigma: number, options: StepOptions) {
    const { sChurn = 0, sTmin = 0, sTmax = Number.POSITIVE_INFINITY, sNoise = 1 } = options;
    const within = sTmin <= sigma && sigma <= sTmax;
    const gamma = within ? Math.min(sChurn / (this.sigmas!.length - 1), Math.SQRT2 - 1) : 0;
    const sigmaHat = f32(sigma * (gamma + 1));
    if (gamma <= 0) return { noisier: sample, sigmaHat };
    const spread = sNoise * Math.sqrt(sigmaHat * sigmaHat - sigma * sigma);
    return { noisier: weightedSum([1, sample], [spread, this.noise(sample.length, options)]), sigmaHat };
  }

  private get isContinuous(): boolean {
    const { timestepType, predictionType } = this.settings;
    return timestepType === "continuous" && predictionType === "v_prediction";
  }

  private customSigmas(given: readonly number[]) {
    const sigmas = given.map(f32);
    const called = sigmas.slice(0, -1);
    return { sigmas, timesteps: called.map((s) => timestepOfSigma(s, this.logTrained, { single: true })) };
  }

  private spacedSigmas(count: number, custom: readonly number[] | undefined) {
    const { interpolationType, finalSigmasType } = this.settings;
    const plain = this.levels(this.settings, count, custom);
    const levels =
      interpolationType === "linear"
        ? plain
        : this.onSchedule({ ...plain, sigmas: logLinearSigmas(this.logTrained, count) }, count);
    const last = finalSigmasType === "zero" ? 0 : this.trained[0]!;
    return { timesteps: levels.timesteps, sigmas: [...levels.sigmas, last].map(f32) };
  }
}

function continuousTimestep(sigma: number): number {
  return f32(0.25 * log32(sigma));
}
