/** @file Descriptions of routes in the OpenAPI document, and those of routes without input. */

import { type OpenAPIHono, z } from "@hono/zod-openapi";

const health = z
  .object({
    status: z.string().openapi({ example: "ok" }),
    queued: z.int().optional(),
    running: z.int().optional(),
  })
  .openapi("Health");

/** The description of a JSON answer or request. */
export const jsonOf = <T extends z.ZodType>(description: string, schema: T) => ({
  description,
  content: { "application/json": { schema } },
});

export function describeOthers(registry: OpenAPIHono["openAPIRegistry"]): void {
  registry.registerPath({
    method: "get",
    path: "/healthz",
    tags: ["server"],
    summary: "Whether jobs can be taken now.",
    security: [],
    responses: {
      200: jsonOf("They can.", health),
      503: jsonOf("They cannot; the status says why.", health),
    },
  });
  registry.registerPath({
    method: "get",
    path: "/metrics",
    tags: ["server"],
    summary: "Prometheus' text.",
    responses: { 200: { description: "Metrics.", content: { "text/plain": { schema: z.string() } } } },
  });
}
