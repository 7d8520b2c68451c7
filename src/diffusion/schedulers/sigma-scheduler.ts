/** @file The schedulers whose samples are clean + sigma * noise, as in k-diffusion: input scaling, schedule, noising. */

import { f32, log32 } from "../arithmetic.js";
import { predictClean } from "../prediction.js";
import { spacedTimesteps } from "../spacing.js";
import { weightedSum } from "../vector.js";
import type { SchedulerKind } from "./config.js";
import type { PredictionType, SchedulerSettings } from "./config-fields.js";
import { BaseScheduler } from "./scheduler-base.js";
import { sigmaSchedule, sigmaScheduleOf, sigmasAt, timestepOfSigma, trainingSigmas } from "./sigmas.js";

type Fields = Readonly<Record<string, unknown>>;

/** Timesteps and sigmas before they are rounded to float32 and before the final sigma. */
export type SigmaLevels = { readonly timesteps: readonly number[]; readonly sigmas: readonly number[] };

export abstract class SigmaScheduler extends BaseScheduler {
  protected readonly trained: Float32Array;
  protected readonly logTrained: Float32Array;

  constructor(kind: SchedulerKind, source: Fields, overrides: Fields) {
    super(kind, source, overrides);
    const { alphasCumprod } = this.schedule;
    // A terminal alpha-bar of 0 would make sigma infinite; Diffusers puts the smallest float16 there.
    if (this.settings.rescaleBetasZeroSnr) alphasCumprod[alphasCumprod.length - 1] = 2 ** -24;
    this.trained = trainingSigmas(alphasCumprod);
    this.logTrained = this.trained.map(log32);
    this.sigmas = [...this.trained.toReversed(), 0];
  }

  /** max(sigma) where the first timestep is the noisiest one; sqrt(max^2 + 1) for "leading", which begins below it. */
  get initNoiseSigma(): number {
    const max = Math.max(...(this.sigmas ?? []));
    return this.settings.timestepSpacing === "leading" ? f32(Math.sqrt(f32(f32(max * max) + 1))) : max;
  }

  scaleModelInput(sample: Float32Array, timestep: number): Float32Array {
    const sigma = this.inputSigma(this.place(timestep));
    const norm = f32(Math.sqrt(f32(f32(sigma * sigma) + 1)));
    return sample.map((x) => x / norm);
  }

  addNoise(original: Float32Array, noise: Float32Array, timestep: number): Float32Array {
    return weightedSum([1, original], [this.sigma(this.noiseIndex(timestep)), noise]);
  }

  protected inputSigma(index: number): number {
    return this.sigma(index);
  }

  protected sigma(index: number): number {
    return this.sigmas?.at(index) ?? Number.NaN;
  }

  protected clean(
    type: PredictionType,
    output: Float32Array,
    sample: Float32Array,
    sigma: number,
  ): Float32Array {
    return predictClean(type, output, sample, { alpha: 1, sigma });
  }

  /** Spaced or custom timesteps with their sigmas, or the ladder between the first and last of those sigmas. */
  protected levels(settings: SchedulerSettings, count: number, custom?: readonly number[]): SigmaLevels {
    const timesteps = custom?.map(f32) ?? spacedTimesteps(settings, count);
    return this.onSchedule({ timesteps, sigmas: sigmasAt(timesteps, this.trained) }, count);
  }

  /** Replaces sigmas by the ladder the config asks for, and timesteps by the ladder's. */
  protected onSchedule(plain: SigmaLevels, count: number): SigmaLevels {
    const shape = sigmaScheduleOf(this.settings);
    if (shape === undefined) return plain;
    const { min, max } = this.scheduleEnds(plain.sigmas);
    const sigmas = sigmaSchedule(shape, min, max, count);
    return { sigmas, timesteps: sigmas.map((sigma) => timestepOfSigma(sigma, this.logTrained)) };
  }

  protected scheduleEnds(sigmas: readonly number[]): { min: number; max: number } {
    const { sigmaMin, sigmaMax } = this.settings;
    return { min: sigmaMin ?? sigmas[sigmas.length - 1]!, max: sigmaMax ?? sigmas[0]! };
  }
}
