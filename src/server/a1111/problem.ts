/** @file Errors as AUTOMATIC1111 (which is FastAPI) writes them; `detail` names the field where there is one. */

import type { z } from "@hono/zod-openapi";
import { type Problem, underName } from "../problem.js";
import type { a1111Error } from "./schemas.js";

/** This API's names of the jobs API's fields. */
const names: Readonly<Record<string, string>> = {
  count: "batch_size",
  guidanceScale: "cfg_scale",
  negativePrompt: "negative_prompt",
  strength: "denoising_strength",
  model: "sd_model_checkpoint",
  clipSkip: "CLIP_stop_at_last_layers",
  outputFormat: "samples_format",
};

export function a1111Problem(problem: Problem): z.infer<typeof a1111Error> {
  const { code, status } = problem;
  const { field, message } = underName(problem, names);
  if (field === undefined || status !== 422) return { error: code, detail: message, errors: message };
  return { error: code, detail: [{ loc: ["body", field], msg: message, type: code }], errors: message };
}
