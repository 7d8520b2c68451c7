/** @file The interface of every scheduler, under Diffusers' names. Must not import a scheduler: registry.ts lists them. */

import type { NoiseSource } from "../random.js";
import type { SchedulerConfig } from "./config.js";

/**
 * A scheduler: which noise levels a generation visits, and how the network's prediction at one level gives the sample
 * at the next. Call `setTimesteps`, then for each timestep the network on `scaleModelInput(sample)`, and `step` with
 * its output. Samples are float32[N * C * H * W] of latents.
 */
export interface Scheduler {
  /** Diffusers' class name. */
  readonly className: string;
  /** The fields of the config in camelCase, also those that this class does not read. */
  readonly config: SchedulerConfig;
  /** Network calls for one step: 2 for Heun and KDPM2, otherwise 1. */
  readonly order: number;
  /** Whether `step` reads `eta`: DDIM's and TCD's do. */
  readonly acceptsEta: boolean;
  /**
   * Whether the network is called as EDM's are (Karras et al., arXiv 2206.00364): at ln(sigma) / 4, with their scaling of
   * samples and outputs. A network is trained for one of the two.
   */
  readonly isEdm: boolean;
  /** Standard deviation of the initial latents: standard normal noise is multiplied by it. */
  readonly initNoiseSigma: number;
  /** The training timesteps that the network is called with, descending, one for each call. */
  readonly timesteps: readonly number[];
  /** Noise levels (standard deviation of noise over that of signal), descending, with the final one at the end. */
  readonly sigmas: readonly number[] | undefined;
  /**
   * Chooses timesteps and sigmas for a number of steps, or takes custom ones from `options` if that is undefined.
   * Throws InvalidRequest for a number below 1 and for options that this class does not have.
   */
  setTimesteps(numInferenceSteps: number | undefined, options?: TimestepOptions): void;
  /** Begins at this index of `timesteps`, for image-to-image. Call it after `setTimesteps`. */
  setBeginIndex(index: number): void;
  /** What the network is called with in place of `sample`; most often the sample itself. */
  scaleModelInput(sample: Float32Array, timestep: number): Float32Array;
  /**
   * One step from `timestep` to the next one. `modelOutput` is the network's, as long as `sample` (twice as long
   * with a learned variance). Throws InvalidRequest for a timestep that is not in `timesteps`.
   */
  step(modelOutput: Float32Array, timestep: number, sample: Float32Array, options?: StepOptions): StepResult;
  /** A clean sample with `noise` (standard normal, of the same length) at the noise level of `timestep`. */
  addNoise(original: Float32Array, noise: Float32Array, timestep: number): Float32Array;
}

/** Custom schedules for `setTimesteps`; each class has some of these options. */
export type TimestepOptions = {
  /** Training timesteps, descending, in place of a number of steps. */
  timesteps?: readonly number[];
  /** Euler: noise levels, descending, with the final one at the end, in place of a number of steps. */
  sigmas?: readonly number[];
  /** LCM and TCD: how many steps the model was distilled on; default original_inference_steps of the config. */
  originalInferenceSteps?: number;
  /** LCM and TCD: the share of that schedule to run, 0 to 1, for image-to-image; default 1. */
  strength?: number;
};

/** Options of one step; each class reads some of them. */
export type StepOptions = {
  /** Random numbers, needed by schedulers that add noise; a list has one generator for each sample. */
  generator?: NoiseSource | readonly NoiseSource[];
  /** DDIM: 0 (default) is deterministic, 1 adds as much noise as DDPM. TCD: its gamma, 0 to 1, default 0.3. */
  eta?: number;
  /** DDIM: derive the noise from the clipped clean sample; default false. */
  useClippedModelOutput?: boolean;
  /** Euler: how much noise is added before steps, over all steps (Karras et al., arXiv 2206.00364, algorithm 2); default 0. */
  sChurn?: number;
  /** Euler: the lowest sigma at which sChurn adds noise; default 0. */
  sTmin?: number;
  /** Euler: the highest sigma at which sChurn adds noise; default infinity. */
  sTmax?: number;
  /** Euler: factor of that noise; default 1. */
  sNoise?: number;
  /** LMS: how many derivatives are used, 1 to 4; default 4. */
  order?: number;
  /** Number of samples in the arrays, default 1; read by thresholding and learned variances. */
  batch?: number;
};

/** What one step gives; both float32[N * C * H * W]. */
export type StepResult = {
  /** The sample at the next noise level. */
  prevSample: Float32Array;
  /** The clean sample as predicted at this step, for previews. */
  predOriginalSample: Float32Array;
};
