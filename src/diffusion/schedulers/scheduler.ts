/** @file What every scheduler offers, and how one is made from a scheduler_config.json. */

import { closest } from "../../closest.js";
import { InvalidRequest, listed } from "../../errors.js";
import type { NoiseSource } from "../random.js";
import type { SchedulerConfig } from "./config.js";
import { DDIMScheduler } from "./ddim.js";
import { DDPMScheduler } from "./ddpm.js";
import { DEISMultistepScheduler } from "./deis.js";
import { DPMSolverMultistepScheduler } from "./dpm-multistep.js";
import { DPMSolverSinglestepScheduler } from "./dpm-singlestep.js";
import { EulerDiscreteScheduler } from "./euler.js";
import { EulerAncestralDiscreteScheduler } from "./euler-ancestral.js";
import { HeunDiscreteScheduler } from "./heun.js";
import { KDPM2DiscreteScheduler } from "./kdpm2.js";
import { KDPM2AncestralDiscreteScheduler } from "./kdpm2-ancestral.js";
import { LCMScheduler } from "./lcm.js";
import { LMSDiscreteScheduler } from "./lms.js";
import { PNDMScheduler } from "./pndm.js";
import { TCDScheduler } from "./tcd.js";
import { UniPCMultistepScheduler } from "./unipc.js";

export type { SchedulerConfig };
export {
  DDIMScheduler,
  DDPMScheduler,
  DEISMultistepScheduler,
  DPMSolverMultistepScheduler,
  DPMSolverSinglestepScheduler,
  EulerAncestralDiscreteScheduler,
  EulerDiscreteScheduler,
  HeunDiscreteScheduler,
  KDPM2AncestralDiscreteScheduler,
  KDPM2DiscreteScheduler,
  LCMScheduler,
  LMSDiscreteScheduler,
  PNDMScheduler,
  TCDScheduler,
  UniPCMultistepScheduler,
};

export type StepOptions = {
  /** Needed by schedulers that add noise; a list has one generator per sample. */
  generator?: NoiseSource | readonly NoiseSource[];
  /** DDIM: 0 (default) is deterministic, 1 is DDPM. TCD: its gamma, default 0.3. */
  eta?: number;
  /** DDIM: derive the noise from the clipped clean sample. */
  useClippedModelOutput?: boolean;
  /** Euler's stochasticity: Karras et al. (arXiv 2206.00364), algorithm 2. */
  sChurn?: number;
  sTmin?: number;
  sTmax?: number;
  sNoise?: number;
  /** LMS: how many derivatives are used, 1 to 4 (default 4). */
  order?: number;
  /** Number of samples in the arrays (default 1); used by thresholding and learned variances. */
  batch?: number;
};

/** The sample one step less noisy, and the clean sample as predicted now (for previews), both float32[N*C*H*W]. */
export type StepResult = { prevSample: Float32Array; predOriginalSample: Float32Array };

export type TimestepOptions = {
  /** Custom timesteps, descending, in place of a number of steps. */
  timesteps?: readonly number[];
  /** Euler: custom sigmas, descending, the last one being the final sigma. */
  sigmas?: readonly number[];
  /** LCM and TCD: how many steps the model was distilled on. */
  originalInferenceSteps?: number;
  /** LCM and TCD: the share of the distilled schedule to run, for image-to-image. */
  strength?: number;
};

export interface Scheduler {
  /** Diffusers' class name. */
  readonly className: string;
  /** camelCase; every key of the file carried over, also unknown ones. */
  readonly config: SchedulerConfig;
  /** How many timesteps one inference step takes up: 2 for Heun and KDPM2. */
  readonly order: number;
  /** Whether its step reads `eta`: DDIM's and TCD's do. */
  readonly acceptsEta: boolean;
  /** Standard deviation of the initial latents. */
  readonly initNoiseSigma: number;
  /** What the network is called with, one per call. */
  readonly timesteps: readonly number[];
  readonly sigmas: readonly number[] | undefined;
  setTimesteps(numInferenceSteps: number | undefined, options?: TimestepOptions): void;
  /** Begins in the middle of the timesteps: image-to-image. Call after setTimesteps. */
  setBeginIndex(index: number): void;
  scaleModelInput(sample: Float32Array, timestep: number): Float32Array;
  step(modelOutput: Float32Array, timestep: number, sample: Float32Array, options?: StepOptions): StepResult;
  addNoise(original: Float32Array, noise: Float32Array, timestep: number): Float32Array;
}

type Fields = Readonly<Record<string, unknown>>;

const schedulers: Readonly<Record<string, new (config: Fields, overrides: Fields) => Scheduler>> = {
  EulerDiscreteScheduler,
  EulerAncestralDiscreteScheduler,
  HeunDiscreteScheduler,
  DDIMScheduler,
  DDPMScheduler,
  DPMSolverMultistepScheduler,
  DPMSolverSinglestepScheduler,
  UniPCMultistepScheduler,
  LCMScheduler,
  PNDMScheduler,
  LMSDiscreteScheduler,
  KDPM2DiscreteScheduler,
  KDPM2AncestralDiscreteScheduler,
  DEISMultistepScheduler,
  TCDScheduler,
};

export const schedulerNames: readonly string[] = Object.keys(schedulers);

/**
 * A scheduler from a parsed scheduler_config.json (or another scheduler's `config`) as Diffusers' `from_config`
 * makes it; `className` replaces the file's. Throws InvalidRequest for an unknown class or a value out of range.
 */
export function schedulerFromConfig(json: Fields, overrides: Fields = {}, className?: string): Scheduler {
  const written = className ?? json._class_name ?? json._className;
  const field = className === undefined ? "scheduler/scheduler_config.json: _class_name" : "className";
  const known = `one of ${listed(schedulerNames, schedulerNames.length)}`;
  if (typeof written !== "string") {
    throw new InvalidRequest(field, written, `must be ${known}, got ${JSON.stringify(written)}.`);
  }
  const Class = Object.hasOwn(schedulers, written) ? schedulers[written] : undefined;
  if (Class) return new Class(json, overrides);
  const near = closest(written, schedulerNames);
  const hint = near ? ` Did you mean "${near}"?` : "";
  throw new InvalidRequest(field, written, `"${written}" is not ${known}.${hint}`);
}
