/**
 * @file The server as a library, `koala-diffusion/server`: what `koala serve` starts, from a program.
 *
 *     await using server = await serve({ models: ["./koala-lightning-700m"], port: 0 });
 *     console.log(server.url);
 *
 * @module koala-diffusion/server
 */

// The types of zod and Hono, which declarations name, need globals of Node's.
/// <reference types="node" preserve="true" />

export type { Precision, WeightFormat } from "./engine/device.js";
export { Cancelled, EngineError, FileError, InvalidRequest, ModelError, ShapeError } from "./errors.js";
export type { SigningFiles } from "./image/content-credentials.js";
export type { ImageDefaults, Limits, Model as ModelInfo, ModelSafety } from "./jobs/model-schemas.js";
export type { FoundPlace } from "./jobs/placements.js";
export type { MoveTarget } from "./pipeline/device-pipeline.js";
export type { Embedding } from "./pipeline/embeddings.js";
export type { SafetyRule } from "./pipeline/safety-rules.js";
export type { VocabularyWord, Words } from "./pipeline/vocabulary.js";
export { type RunningServer, type ServedLora, type ServeOptions, serve } from "./server/serve.js";
