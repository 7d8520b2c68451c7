/** @file Problems as error objects of OpenAI's API. */

import type { z } from "@hono/zod-openapi";
import { type Problem, underName } from "../problem.js";
import type { openaiError } from "./schemas.js";

/** This API's names of the jobs API's fields. */
const names: Readonly<Record<string, string>> = {
  count: "n",
  width: "size",
  height: "size",
  guidanceScale: "guidance_scale",
  negativePrompt: "negative_prompt",
  outputFormat: "output_format",
};

export function openaiProblem(problem: Problem) {
  const { status, code, field } = problem;
  const { field: param = null, message } = underName(problem, names);
  const error: z.infer<typeof openaiError>["error"] = { message, type: typeOf(status), param, code };
  if (status === 422 && field === "model")
    return { status: 404 as const, body: { error: { ...error, code: "model_not_found" } } };
  if (status === 401) error.code = "invalid_api_key";
  if (code === "flagged") error.code = "moderation_blocked";
  if (status === 429) error.code = "rate_limit_exceeded";
  // OpenAI has no 422; and its clients send a 409 again by themselves, which would generate what was cancelled.
  const own = status === 422 || status === 409 ? (400 as const) : status;
  return { status: own, body: { error } };
}

function typeOf(status: number): string {
  if (status === 401) return "authentication_error";
  if (status === 429) return "rate_limit_error";
  return status >= 500 ? "server_error" : "invalid_request_error";
}
