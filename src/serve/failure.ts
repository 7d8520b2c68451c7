/** @file What clients are told of an error that ended a job: ours in full, of a bug only that it was one. */

import { EngineError, InvalidRequest, ModelError } from "../errors.js";
import type { JobFailure } from "./schemas.js";

export function failureOf(error: unknown): JobFailure {
  if (error instanceof InvalidRequest)
    return { code: "invalid_request", message: error.message, field: error.field };
  if (error instanceof ModelError) return { code: "model_error", message: error.message };
  if (error instanceof EngineError) return { code: "engine_error", message: error.message };
  return { code: "internal", message: "internal: the painter failed. The server's log says why." };
}
