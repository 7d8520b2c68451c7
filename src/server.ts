/**
 * @file The server as a library, `koala-diffusion/server`: what `koala serve` starts, from a program.
 *
 *     await using server = await serve({ models: ["./koala-lightning-700m"], port: 0 });
 *     console.log(server.url);
 *
 * @module koala-diffusion/server
 */

export { Cancelled, EngineError, FileError, InvalidRequest, ModelError, ShapeError } from "./errors.js";
export type { ImageDefaults, Limits, Model as ModelInfo } from "./jobs/model-schemas.js";
export type { VocabularyWord, Words } from "./pipeline/vocabulary.js";
export { type RunningServer, type ServedLora, type ServeOptions, serve } from "./server/serve.js";
