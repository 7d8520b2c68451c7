/**
 * @file `koala-diffusion/train`: distillation, fine-tuning and training, as functions.
 *
 * @module koala-diffusion/train
 */

// The types of zod and Hono, which declarations name, need globals of Node's.
/// <reference types="node" preserve="true" />

export { Cancelled, EngineError, FileError, InvalidRequest, ModelError, ShapeError } from "./errors.js";
export type { JsonObject } from "./files/json.js";
export type { StepMetrics } from "./monitor/metrics.js";
export { type DropoutRule, dropoutRules } from "./train/data/captions.js";
export type { SkippedExample } from "./train/data/example.js";
export {
  type DistillNetworks,
  type DistillOptions,
  distill,
  type PrecomputeTeacherOptions,
  precomputeTeacher,
} from "./train/distill.js";
export type { EmaOptions } from "./train/ema.js";
export type { TrainingEvent, TrainingResult } from "./train/events.js";
export { type FeatureSet, featureSets } from "./train/features.js";
export { type FinetuneOptions, finetune } from "./train/finetune.js";
export { type LayerRule, layerRules } from "./train/layer-mapping.js";
export {
  type LoraDtype,
  type LoraNaming,
  type LoraRequest,
  loraDtypes,
  loraNamings,
} from "./train/lora/options.js";
export { type FeatureLoss, featureLosses, type LossWeights } from "./train/loss.js";
export { type LrSchedule, lrSchedules } from "./train/lr-schedule.js";
export { type SnrRule, snrRules, type TargetType, targetTypes } from "./train/noise.js";
export type { TrainingRequest } from "./train/options.js";
export {
  type DistillationPlan,
  type DistillationPlanRequest,
  distillationPlan,
  type PlanBytes,
  type PlanRow,
  type PlanWork,
  type ProgramCost,
  type Way,
  ways,
} from "./train/plan.js";
export {
  type AutoencoderSetting,
  autoencoderSettings,
  type CachedRunOptions,
  type DiffusionSetting,
  type DistillationSetting,
  diffusionSettings,
  distillationSettings,
  type TrainingRunOptions,
} from "./train/run-options.js";
export {
  type ConsistencyLoss,
  type ConsistencyRequest,
  consistencyLosses,
  type TrajectoryLoss,
  type TrajectoryRequest,
  trajectoryLosses,
} from "./train/step-distillation/options.js";
export { type Student, type StudentName, studentNames } from "./train/student.js";
export { type TrainAutoencoderOptions, trainAutoencoder } from "./train/train-autoencoder.js";
