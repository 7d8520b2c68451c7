/** @file The library, under the names Diffusers' users know. */

export { Cancelled, EngineError, FileError, InvalidRequest, ModelError, ShapeError } from "./errors.js";
export type { ImageInput } from "./image/codec.js";
export type { RgbImage } from "./image/pixels.js";
export type { GenerateResult, Step } from "./pipeline/base-pipeline.js";
export { GeneratedImage, type SaveOptions } from "./pipeline/generated-image.js";
export { metadataProblem } from "./pipeline/metadata/capacity.js";
export { readRequest, type SavedRequest } from "./pipeline/metadata/read.js";
export type { ImageMetadata } from "./pipeline/metadata/schema.js";
export {
  DiffusionPipeline,
  type LoadOptions,
  StableDiffusionPipeline,
  StableDiffusionXLPipeline,
} from "./pipeline/pipeline.js";
export type { GenerateRequest } from "./pipeline/request.js";
export * from "./schedulers.js";
