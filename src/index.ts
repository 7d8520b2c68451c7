/**
 * @file `koala-diffusion`: the library, under the names Diffusers' users know.
 *
 * @module koala-diffusion
 */

// The types of zod and Hono, which declarations name, need globals of Node's.
/// <reference types="node" preserve="true" />

export type { Precision, WeightFormat } from "./engine/device.js";
export {
  Cancelled,
  DeviceLostError,
  DeviceMemoryError,
  EngineError,
  FileError,
  FlaggedImageError,
  InvalidRequest,
  ModelError,
  ShapeError,
} from "./errors.js";
export {
  type DownloadedModel,
  downloadedModels,
  removeDownloadedModel,
} from "./hub/downloaded-models.js";
export type { ConfirmDownload, DownloadProgress, PendingDownload } from "./hub/fetch.js";
export type { ImageFormat, ImageInput } from "./image/codec.js";
export { type ContentSigner, openSigner, type SigningFiles } from "./image/content-credentials.js";
export type { RgbImage } from "./image/pixels.js";
export {
  type AttentionLayer,
  AttentionMaps,
  type AttentionWord,
  type MapOptions,
} from "./pipeline/attention/maps.js";
export type { BasePipeline } from "./pipeline/base-pipeline.js";
export type { DenoiseStep } from "./pipeline/denoise.js";
export type { DevicePipeline, MoveTarget } from "./pipeline/device-pipeline.js";
export type { Embedding } from "./pipeline/embeddings.js";
export type { GenerateResult, Step } from "./pipeline/generate-result.js";
export { GeneratedImage, type SaveOptions } from "./pipeline/generated-image.js";
export type { LoadOptions } from "./pipeline/load-options.js";
export type { Lora } from "./pipeline/lora.js";
export { metadataProblem, type RecordedPrompts } from "./pipeline/metadata/capacity.js";
export { readRequest, type SavedRequest } from "./pipeline/metadata/read.js";
export type { ImageMetadata, InputMetadata, ModelMetadata } from "./pipeline/metadata/schema.js";
export {
  DiffusionPipeline,
  StableDiffusionPipeline,
  StableDiffusionXLPipeline,
} from "./pipeline/pipeline.js";
export { readWildcards } from "./pipeline/read-wildcards.js";
export type { GenerateRequest, Size2 } from "./pipeline/request.js";
export type { SafetyRule } from "./pipeline/safety-rules.js";
export * from "./schedulers.js";
export type { Wildcards } from "./text/dynamic-prompts.js";
export type { Emphasis, LongPrompts, PromptSyntax } from "./text/prompt-rules.js";
