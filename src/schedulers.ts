/**
 * @file `koala-diffusion/schedulers`: every scheduler under Diffusers' class name, by itself. Schedulers work on
 * Float32Array and run in Node and in browsers.
 */

export { type CudaDevice, CudaGenerator } from "./diffusion/philox.js";
export { type PredictionType, predictionTypes } from "./diffusion/prediction.js";
export {
  Generator,
  type MersenneState,
  type NoiseDtype,
  type NoiseSource,
  type NoiseState,
  type PhiloxState,
  randn,
} from "./diffusion/random.js";
export type { SchedulerConfig, SchedulerFields } from "./diffusion/schedulers/config.js";
export type { SchedulerSettings } from "./diffusion/schedulers/config-fields.js";
export { DDIMScheduler } from "./diffusion/schedulers/ddim.js";
export { DDPMScheduler } from "./diffusion/schedulers/ddpm.js";
export { DEISMultistepScheduler } from "./diffusion/schedulers/deis.js";
export { DPMSolverMultistepScheduler } from "./diffusion/schedulers/dpm-multistep.js";
export { DPMSolverSinglestepScheduler } from "./diffusion/schedulers/dpm-singlestep.js";
export { EulerDiscreteScheduler } from "./diffusion/schedulers/euler.js";
export { EulerAncestralDiscreteScheduler } from "./diffusion/schedulers/euler-ancestral.js";
export { HeunDiscreteScheduler } from "./diffusion/schedulers/heun.js";
export { KDPM2DiscreteScheduler } from "./diffusion/schedulers/kdpm2.js";
export { KDPM2AncestralDiscreteScheduler } from "./diffusion/schedulers/kdpm2-ancestral.js";
export { LCMScheduler } from "./diffusion/schedulers/lcm.js";
export { LMSDiscreteScheduler } from "./diffusion/schedulers/lms.js";
export { PNDMScheduler } from "./diffusion/schedulers/pndm.js";
export {
  schedulerFromConfig,
  schedulerNamed,
  schedulerNames,
  schedulerShortNames,
} from "./diffusion/schedulers/registry.js";
export type { SchedulerChoice } from "./diffusion/schedulers/sampler-names.js";
export type {
  Scheduler,
  StepOptions,
  StepResult,
  TimestepOptions,
} from "./diffusion/schedulers/scheduler.js";
export { TCDScheduler } from "./diffusion/schedulers/tcd.js";
export { UniPCMultistepScheduler } from "./diffusion/schedulers/unipc.js";
export type { Seed } from "./diffusion/seed.js";
export { InvalidRequest } from "./errors.js";
