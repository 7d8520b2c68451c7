/** @file The hook of routes that turns what a schema refuses into an InvalidRequest. */

import type { Hook, z } from "@hono/zod-openapi";
import type { Env } from "hono";
import { invalidRequest } from "./invalid.js";

/** `schema` is that of the body: its fields are suggested for a misspelt one. */
export function validated(schema?: z.ZodObject): Hook<unknown, Env, string, unknown> {
  return (result) => {
    if (!result.success) throw invalidRequest(result.error, (result as { data?: unknown }).data, schema);
  };
}
