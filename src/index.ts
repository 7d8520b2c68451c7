/** @file The library, under the names Diffusers' users know. */

export { CudaGenerator } from "./diffusion/philox.js";
export { Generator, type NoiseSource, randn } from "./diffusion/random.js";
export type { SchedulerConfig, StepOptions, StepResult } from "./diffusion/scheduler.js";
export * from "./diffusion/scheduler.js";
export { Cancelled, EngineError, FileError, InvalidRequest, ModelError, ShapeError } from "./errors.js";
export type { Picture } from "./image/pixels.js";
export type { GenerateResult, Step } from "./pipeline/painter.js";
export { Painting, type SaveOptions } from "./pipeline/painting.js";
export {
  DiffusionPipeline,
  type LoadOptions,
  StableDiffusionPipeline,
  StableDiffusionXLPipeline,
} from "./pipeline/pipeline.js";
export type { PictureRecord } from "./pipeline/record.js";
export type { GenerateRequest } from "./pipeline/request.js";
export { metadataProblem } from "./pipeline/room.js";
export { readRequest, type SavedRequest } from "./pipeline/saved.js";
export type { PictureSource } from "./pipeline/start.js";
