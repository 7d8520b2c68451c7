/**
 * @file `koala-diffusion/schedulers`: every scheduler under Diffusers' class name, by itself. Schedulers work on
 * Float32Array and run in Node and in browsers.
 *
 * @module koala-diffusion/schedulers
 */

export type { BetaSchedule, NoiseSchedule } from "./diffusion/betas.js";
export { type CudaDevice, CudaGenerator } from "./diffusion/philox.js";
export type { Level, PredictionType } from "./diffusion/prediction.js";
export {
  Generator,
  type MersenneState,
  type NoiseDtype,
  type NoiseSource,
  type NoiseState,
  type PhiloxState,
  randn,
} from "./diffusion/random.js";
export type { AlphaScheduler } from "./diffusion/schedulers/alpha-scheduler.js";
export type { BaseScheduler, CheckedArguments } from "./diffusion/schedulers/base-scheduler.js";
export type { SchedulerConfig, SchedulerFields, SchedulerKind } from "./diffusion/schedulers/config.js";
export type { SchedulerSettings } from "./diffusion/schedulers/config-fields.js";
export type { ConsistencyScheduler } from "./diffusion/schedulers/consistency-scheduler.js";
export { DDIMScheduler } from "./diffusion/schedulers/ddim.js";
export { DDPMScheduler } from "./diffusion/schedulers/ddpm.js";
export { DEISMultistepScheduler } from "./diffusion/schedulers/deis.js";
export { DPMSolverMultistepScheduler } from "./diffusion/schedulers/dpm-multistep.js";
export type { DpmScheduler } from "./diffusion/schedulers/dpm-scheduler.js";
export { DPMSolverSinglestepScheduler } from "./diffusion/schedulers/dpm-singlestep.js";
export type { Algorithm } from "./diffusion/schedulers/dpm-solver.js";
export { EDMDPMSolverMultistepScheduler, EDMEulerScheduler } from "./diffusion/schedulers/edm.js";
export { EulerDiscreteScheduler } from "./diffusion/schedulers/euler.js";
export { EulerAncestralDiscreteScheduler } from "./diffusion/schedulers/euler-ancestral.js";
export { HeunDiscreteScheduler } from "./diffusion/schedulers/heun.js";
export { KDPM2DiscreteScheduler } from "./diffusion/schedulers/kdpm2.js";
export { KDPM2AncestralDiscreteScheduler } from "./diffusion/schedulers/kdpm2-ancestral.js";
export type { LambdaScheduler, SigmaScheduleRules } from "./diffusion/schedulers/lambda-scheduler.js";
export { LCMScheduler } from "./diffusion/schedulers/lcm.js";
export { LMSDiscreteScheduler } from "./diffusion/schedulers/lms.js";
export type { MidpointScheduler, NetworkCall } from "./diffusion/schedulers/midpoint-scheduler.js";
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
export type { SigmaScheduler, SpacedSigmas } from "./diffusion/schedulers/sigma-scheduler.js";
export { TCDScheduler } from "./diffusion/schedulers/tcd.js";
export { UniPCMultistepScheduler } from "./diffusion/schedulers/unipc.js";
export type { Seed } from "./diffusion/seed.js";
export type { TimestepSpacing } from "./diffusion/spacing.js";
export { InvalidRequest } from "./errors.js";
