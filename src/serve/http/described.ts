/** @file What the OpenAPI document says of routes that take nothing to validate. */

import { type OpenAPIHono, z } from "@hono/zod-openapi";

const health = z
  .object({
    status: z.string().openapi({ example: "ok" }),
    queued: z.int().optional(),
    running: z.int().optional(),
  })
  .openapi("Health");

export function describeOthers(registry: OpenAPIHono["openAPIRegistry"]): void {
  const healthJson = { "application/json": { schema: health } };
  registry.registerPath({
    method: "get",
    path: "/healthz",
    tags: ["server"],
    summary: "Whether jobs can be taken now.",
    security: [],
    responses: {
      200: { description: "They can.", content: healthJson },
      503: { description: "They cannot; the status says why.", content: healthJson },
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
