/** @file The base class of schedulers whose samples are clean + sigma * noise, as in k-diffusion: Euler, Heun, KDPM2, LMS. */

import { f32, log32 } from "../arithmetic.js";
import { type PredictionType, predictClean } from "../prediction.js";
import { spacedTimesteps } from "../spacing.js";
import { weightedSum } from "../vector.js";
import { BaseScheduler } from "./base-scheduler.js";
import type { SchedulerFields, SchedulerKind } from "./config.js";
import {
  finiteAlphas,
  sigmaSchedule,
  sigmaScheduleOf,
  sigmasAt,
  timestepOfSigma,
  trainingSigmas,
} from "./sigmas.js";

/** Timesteps and their sigmas, in float64 and without the final sigma. */
export type SpacedSigmas = { readonly timesteps: readonly number[]; readonly sigmas: readonly number[] };

export abstract class SigmaScheduler extends BaseScheduler {
  /** Sigma at every training timestep, ascending, float32. */
  protected readonly trainingSigmas: Float32Array;
  protected readonly logTrainingSigmas: Float32Array;

  constructor(kind: SchedulerKind, source: SchedulerFields, overrides: SchedulerFields) {
    super(kind, source, overrides);
    this.trainingSigmas = trainingSigmas(finiteAlphas(this.settings, this.noiseSchedule));
    this.logTrainingSigmas = this.trainingSigmas.map(log32);
    this.sigmas = [...this.trainingSigmas.toReversed(), 0];
  }

  /** The highest sigma; with "leading" spacing, which begins below pure noise, sqrt(sigma^2 + 1). */
  get initNoiseSigma(): number {
    const max = Math.max(...(this.sigmas ?? []));
    return this.settings.timestepSpacing === "leading" ? f32(Math.sqrt(f32(f32(max * max) + 1))) : max;
  }

  scaleModelInput(sample: Float32Array, timestep: number): Float32Array {
    const sigma = this.inputSigma(this.stepIndexFor(timestep));
    const norm = f32(Math.sqrt(f32(f32(sigma * sigma) + 1)));
    return sample.map((x) => x / norm);
  }

  addNoise(original: Float32Array, noise: Float32Array, timestep: number): Float32Array {
    return weightedSum([1, original], [this.sigma(this.noiseIndex(timestep)), noise]);
  }

  /** The noise level of the network's input at a call. */
  protected inputSigma(index: number): number {
    return this.sigma(index);
  }

  protected sigma(index: number): number {
    return this.sigmas?.at(index) ?? Number.NaN;
  }

  protected predictClean(
    type: PredictionType,
    output: Float32Array,
    sample: Float32Array,
    sigma: number,
  ): Float32Array {
    return predictClean(type, output, sample, { alpha: 1, sigma });
  }

  /** Spaced or custom timesteps and their sigmas, in the config's sigma schedule. */
  protected spacedSigmas(count: number, custom?: readonly number[]): SpacedSigmas {
    const timesteps = custom?.map(f32) ?? spacedTimesteps(this.settings, count);
    return this.withSigmaSchedule({ timesteps, sigmas: sigmasAt(timesteps, this.trainingSigmas) }, count);
  }

  /** Replaces sigmas by the config's sigma schedule over their range, if it has one, and timesteps accordingly. */
  protected withSigmaSchedule(plain: SpacedSigmas, count: number): SpacedSigmas {
    const schedule = sigmaScheduleOf(this.settings);
    if (schedule === undefined) return plain;
    const { min, max } = this.sigmaRange(plain.sigmas);
    const sigmas = sigmaSchedule(schedule, min, max, count);
    return { sigmas, timesteps: sigmas.map((sigma) => timestepOfSigma(sigma, this.logTrainingSigmas)) };
  }

  /** The range of a sigma schedule: sigma_min and sigma_max, or that of the spaced sigmas. */
  protected sigmaRange(sigmas: readonly number[]): { min: number; max: number } {
    const { sigmaMin, sigmaMax } = this.settings;
    return { min: sigmaMin ?? sigmas[sigmas.length - 1]!, max: sigmaMax ?? sigmas[0]! };
  }
}
