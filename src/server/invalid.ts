/** @file An InvalidRequest from what a schema refuses of a body or query: `field: rule, got value. Remedy.` */

import type { z } from "@hono/zod-openapi";
import { InvalidRequest } from "../errors.js";
import { schemaProblem } from "../validation.js";

/** The first problem with `data`; the fields of `schema` are suggested for a misspelt one. */
export function invalidRequest(error: z.core.$ZodError, data: unknown, schema?: z.ZodType): InvalidRequest {
  const { field, rule } = schemaProblem(error, data, { schema, remedy: "Leave it out." });
  return new InvalidRequest((field || "body").slice(0, 200), undefined, rule);
}
