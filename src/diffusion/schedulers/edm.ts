/**
 * @file The schedulers of EDM (Karras et al., "Elucidating the Design Space of Diffusion-Based Generative Models", arXiv
 * 2206.00364), with which Playground v2.5 and CosXL were trained: noise levels that begin at sigma_max, a network that sees
 * ln(sigma) / 4, and its preconditioning (table 1).
 */

import { InvalidRequest } from "../../errors.js";
import { f32, linspace, linspace32 } from "../arithmetic.js";
import type { Level, PredictionType } from "../prediction.js";
import { weightedSum } from "../vector.js";
import { clipSample } from "./clip-sample.js";
import type { SchedulerFields } from "./config.js";
import type { SchedulerSettings } from "./config-fields.js";
import { DPMSolverMultistepScheduler } from "./dpm-multistep.js";
import { dpmKind } from "./dpm-scheduler.js";
import { EulerDiscreteScheduler } from "./euler.js";
import type { StepOptions, StepResult, TimestepOptions } from "./scheduler.js";

const edmDefaults = {
  sigmaMin: 0.002,
  sigmaMax: 80,
  sigmaData: 0.5,
  sigmaSchedule: "karras",
  numTrainTimesteps: 1000,
  predictionType: "epsilon",
  rho: 7,
  finalSigmasType: "zero",
} as const satisfies Partial<SchedulerSettings>;

const rangeOf = ({ sigmaMin, sigmaMax }: SchedulerSettings) => ({
  min: sigmaMin ?? edmDefaults.sigmaMin,
  max: sigmaMax ?? edmDefaults.sigmaMax,
});

/** sqrt(sigma_max^2 + 1), rounded as a factor of float32 noise is. */
const initNoiseSigmaOf = (settings: SchedulerSettings): number =>
  f32(Math.sqrt(rangeOf(settings).max ** 2 + 1));

/** Equation 5, at `ramp` from 0 to 1; `round` is float32 where Diffusers computes in it throughout. */
function karrasSigmas(
  settings: SchedulerSettings,
  ramp: ArrayLike<number>,
  round: (x: number) => number,
): number[] {
  const { min, max } = rangeOf(settings);
  const [low, high] = [min ** (1 / settings.rho), max ** (1 / settings.rho)];
  const at = (r: number) => round(round(round(high) + round(r * round(low - high))) ** settings.rho);
  return Array.from(ramp, at);
}

/** Even in the logarithm, in float32. */
function exponentialSigmas(settings: SchedulerSettings, count: number): number[] {
  const { min, max } = rangeOf(settings);
  return Array.from(linspace32(Math.log(min), Math.log(max), count), (log) => f32(Math.exp(log))).reverse();
}

/** What the network is called with at a sigma. */
const timestepOf = (sigma: number): number => f32(0.25 * f32(Math.log(f32(sigma))));

/** c_in * sample */
function preconditioned(sample: Float32Array, sigma: number, { sigmaData }: SchedulerSettings): Float32Array {
  const factor = f32(1 / f32(Math.sqrt(f32(f32(sigma * sigma) + sigmaData ** 2))));
  return sample.map((x) => factor * x);
}

/** c_skip * sample + c_out * output; c_out is negative for v_prediction. */
function denoised(
  type: PredictionType,
  output: Float32Array,
  sample: Float32Array,
  sigma: number,
  { sigmaData }: SchedulerSettings,
): Float32Array {
  const sum = f32(f32(sigma * sigma) + sigmaData ** 2);
  const scale = f32(f32(sigma * sigmaData) / f32(Math.sqrt(sum)));
  return weightedSum([f32(sigmaData ** 2 / sum), sample], [type === "epsilon" ? scale : -scale, output]);
}

/** Euler's method (algorithm 2 without lines 6 to 8) on EDM's noise levels. */
export class EDMEulerScheduler extends EulerDiscreteScheduler {
  override readonly isEdm = true;

  constructor(source: SchedulerFields = {}, overrides: SchedulerFields = {}) {
    super(source, overrides, { className: "EDMEulerScheduler", defaults: edmDefaults });
  }

  override get initNoiseSigma(): number {
    return initNoiseSigmaOf(this.settings);
  }

  /** `sigmas` beside a number of steps are, as in Diffusers, places on the Karras schedule: from 0, sigma_max, to 1. */
  override setTimesteps(numInferenceSteps: number | undefined, options: TimestepOptions = {}): void {
    const { sigmas: given, ...rest } = options;
    const { count } = this.checkArguments(numInferenceSteps, rest);
    if (
      given !== undefined &&
      (given.length !== count || given.some((place) => !(place >= 0 && place <= 1)))
    ) {
      const rule = `must be as many places from 0 to 1 as steps, ${count}, got ${JSON.stringify(given)}.`;
      throw new InvalidRequest("sigmas", given, `${rule} ${this.className} makes the sigmas of them.`);
    }
    const { sigmaSchedule, finalSigmasType } = this.settings;
    const sigmas =
      sigmaSchedule === "karras"
        ? karrasSigmas(this.settings, given ?? linspace(0, 1, count), Number).map(f32)
        : exponentialSigmas(this.settings, count);
    const last = finalSigmasType === "zero" ? 0 : sigmas[count - 1]!;
    this.setSchedule(sigmas.map(timestepOf), [...sigmas, last]);
  }

  override scaleModelInput(sample: Float32Array, timestep: number): Float32Array {
    return preconditioned(sample, this.sigma(this.stepIndexFor(timestep)), this.settings);
  }

  protected override predictionSigma(_type: PredictionType, _sigma: number, sigmaHat: number): number {
    return sigmaHat;
  }

  protected override predictClean(
    _type: PredictionType,
    output: Float32Array,
    sample: Float32Array,
    sigma: number,
  ): Float32Array {
    return denoised(this.predictionType("epsilon", "v_prediction"), output, sample, sigma, this.settings);
  }
}

const solverKind = dpmKind(
  "EDMDPMSolverMultistepScheduler",
  {
    ...edmDefaults,
    solverOrder: 2,
    thresholding: false,
    dynamicThresholdingRatio: 0.995,
    sampleMaxValue: 1,
    algorithmType: "dpmsolver++",
    solverType: "midpoint",
    lowerOrderFinal: true,
    eulerAtFinal: false,
  },
  ["dpmsolver++", "sde-dpmsolver++"],
);

/** DPM-Solver++ (Lu et al., arXiv 2211.01095) on EDM's noise levels. */
export class EDMDPMSolverMultistepScheduler extends DPMSolverMultistepScheduler {
  override readonly isEdm = true;

  constructor(source: SchedulerFields = {}, overrides: SchedulerFields = {}) {
    super(source, overrides, solverKind);
  }

  override get initNoiseSigma(): number {
    return initNoiseSigmaOf(this.settings);
  }

  override setTimesteps(numInferenceSteps: number | undefined, options: TimestepOptions = {}): void {
    const { count } = this.checkArguments(numInferenceSteps, options);
    const { sigmaSchedule, finalSigmasType } = this.settings;
    const sigmas =
      sigmaSchedule === "karras"
        ? karrasSigmas(this.settings, linspace32(0, 1, count), f32)
        : exponentialSigmas(this.settings, count);
    const last = finalSigmasType === "zero" ? 0 : rangeOf(this.settings).min;
    this.setSchedule(sigmas.map(timestepOf), [...sigmas, last]);
  }

  override scaleModelInput(sample: Float32Array, timestep: number): Float32Array {
    return preconditioned(sample, this.sigma(this.stepIndexFor(timestep)), this.settings);
  }

  override step(
    output: Float32Array,
    timestep: number,
    sample: Float32Array,
    options: StepOptions = {},
  ): StepResult {
    const { solverOrder } = this.settings;
    if (this.algorithm === "sde-dpmsolver++" && solverOrder > 2) {
      const rule = `must be 1 or 2 with algorithm_type "sde-dpmsolver++", got ${solverOrder}.`;
      throw new InvalidRequest("solver_order", solverOrder, rule);
    }
    return super.step(output, timestep, sample, options);
  }

  /** Timesteps are fractional, and callers may have rounded them. */
  protected override indexForTimestep(timestep: number): number {
    const distance = (t: number) => Math.abs(t - timestep);
    const near = this.timesteps.reduce((a, b) => (distance(b) < distance(a) ? b : a));
    return super.indexForTimestep(distance(near) < 1e-3 ? near : timestep);
  }

  /** Samples are clean + sigma * noise. */
  protected override levelAt(index: number): Level {
    return { alpha: 1, sigma: this.sigma(index) };
  }

  protected override modelValue(
    index: number,
    output: Float32Array,
    sample: Float32Array,
    batch: number | undefined,
  ): { clean: Float32Array; value: Float32Array } {
    const type = this.predictionType("epsilon", "v_prediction");
    const clean = clipSample(
      denoised(type, output, sample, this.sigma(index), this.settings),
      this.settings,
      batch,
    );
    return { clean, value: clean };
  }
}
