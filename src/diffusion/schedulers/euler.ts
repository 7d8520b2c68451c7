/** @file The Euler scheduler: Euler's method on the probability-flow ODE. */

import { InvalidRequest } from "../../errors.js";
import { f32, log32 } from "../arithmetic.js";
import type { PredictionType } from "../prediction.js";
import { dividedDifference, weightedSum } from "../vector.js";
import type { SchedulerFields, SchedulerKind } from "./config.js";
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

/** Karras et al., "Elucidating the Design Space of Diffusion-Based Generative Models", algorithm 2 without lines 6 to 8. */
export class EulerDiscreteScheduler extends SigmaScheduler {
  constructor(
    source: SchedulerFields = {},
    overrides: SchedulerFields = {},
    kind: SchedulerKind = { className: "EulerDiscreteScheduler", defaults },
  ) {
    super(kind, source, overrides);
    if (this.#isContinuous) this.timesteps = this.sigmas!.slice(0, -1).map(continuousTimestep);
  }

  setTimesteps(numInferenceSteps: number | undefined, options: TimestepOptions = {}): void {
    const { count, timesteps, sigmas } = this.checkArguments(numInferenceSteps, options, [
      "timesteps",
      "sigmas",
    ]);
    if (timesteps && this.#isContinuous) {
      const rule = "must not be given with timestep_type continuous and v_prediction. Give sigmas instead.";
      throw new InvalidRequest("timesteps", timesteps, rule);
    }
    const spaced = sigmas ? this.#customSigmas(sigmas) : this.#sigmasAndLast(count, timesteps);
    const called = this.#isContinuous ? spaced.sigmas.slice(0, -1).map(continuousTimestep) : spaced.timesteps;
    this.setSchedule(called.map(f32), spaced.sigmas);
  }

  step(output: Float32Array, timestep: number, sample: Float32Array, options: StepOptions = {}): StepResult {
    this.checkSameLength(output, sample);
    const type = this.predictionType("epsilon", "v_prediction", "sample", "original_sample");
    const index = this.stepIndexFor(timestep);
    const sigma = this.sigma(index);
    const { noisier, sigmaHat } = this.#churned(sample, sigma, options);
    const clean = this.predictClean(type, output, noisier, this.predictionSigma(type, sigma, sigmaHat));
    const derivative = dividedDifference(noisier, clean, sigmaHat);
    this.stepIndex = index + 1;
    const prevSample = weightedSum([1, noisier], [f32(this.sigma(index + 1) - sigmaHat), derivative]);
    return { prevSample, predOriginalSample: clean };
  }

  /** Diffusers takes the raised sigma for epsilon but the schedule's own for v. */
  protected predictionSigma(type: PredictionType, sigma: number, sigmaHat: number): number {
    return type === "v_prediction" ? sigma : sigmaHat;
  }

  /** Lines 4 to 6 of the algorithm: raises the noise level by gamma first. */
  #churned(sample: Float32Array, sigma: number, options: StepOptions) {
    const { sChurn = 0, sTmin = 0, sTmax = Number.POSITIVE_INFINITY, sNoise = 1 } = options;
    const within = sTmin <= sigma && sigma <= sTmax;
    const gamma = within ? Math.min(sChurn / (this.sigmas!.length - 1), Math.SQRT2 - 1) : 0;
    const sigmaHat = f32(sigma * (gamma + 1));
    if (gamma <= 0) return { noisier: sample, sigmaHat };
    const spread = sNoise * Math.sqrt(sigmaHat * sigmaHat - sigma * sigma);
    return { noisier: weightedSum([1, sample], [spread, this.drawNoise(sample.length, options)]), sigmaHat };
  }

  get #isContinuous(): boolean {
    const { timestepType, predictionType } = this.settings;
    return timestepType === "continuous" && predictionType === "v_prediction";
  }

  #customSigmas(given: readonly number[]) {
    const sigmas = given.map(f32);
    const called = sigmas.slice(0, -1);
    return {
      sigmas,
      timesteps: called.map((s) => timestepOfSigma(s, this.logTrainingSigmas, { single: true })),
    };
  }

  #sigmasAndLast(count: number, custom: readonly number[] | undefined) {
    const { interpolationType, finalSigmasType } = this.settings;
    const plain = this.spacedSigmas(count, custom);
    const levels =
      interpolationType === "linear"
        ? plain
        : this.withSigmaSchedule({ ...plain, sigmas: logLinearSigmas(this.logTrainingSigmas, count) }, count);
    const last = finalSigmasType === "zero" ? 0 : this.trainingSigmas[0]!;
    return { timesteps: levels.timesteps, sigmas: [...levels.sigmas, last].map(f32) };
  }
}

function continuousTimestep(sigma: number): number {
  return f32(0.25 * log32(sigma));
}
