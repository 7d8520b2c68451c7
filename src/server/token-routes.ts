/**
 * @file The route that counts a prompt's tokens, for the page while the prompt is typed. The server counts, not the page:
 * CLIP's vocabulary is 1.6 MB to load and takes a phone a second to read, and the page would need the tokenizer's code.
 * A request is one text, an answer 50 bytes.
 */

import { createRoute, OpenAPIHono } from "@hono/zod-openapi";
import { countTexts } from "../jobs/count-texts.js";
import { modelNamed, type ServedModel } from "../jobs/model-registry.js";
import * as schemas from "../jobs/schemas.js";
import type { TokenLimit } from "../text/token-count.js";
import { jsonOf } from "./described-routes.js";
import { failures } from "./job-routes.js";
import { HttpError } from "./problem.js";
import type { Service } from "./service.js";
import { validated } from "./validated.js";

const count = createRoute({
  method: "post",
  path: "/api/tokens",
  tags: ["models"],
  summary: "How many tokens texts are to a model, and what of them it does not read.",
  request: {
    body: { required: true, content: { "application/json": { schema: schemas.tokensRequest } } },
  },
  responses: { 200: jsonOf("The texts, counted.", schemas.tokenCounts), ...failures },
});

export function tokenRoutes({ models }: Pick<Service, "models">): OpenAPIHono {
  const app = new OpenAPIHono({ defaultHook: validated(schemas.tokensRequest) });
  /** Read once for each model, which is another object when a worker announces another. */
  const read = new WeakMap<ServedModel, Promise<readonly TokenLimit[]>>();
  const limitsOf = async (model: ServedModel): Promise<readonly TokenLimit[]> => {
    const limits = read.get(model) ?? model.tokenLimits();
    read.set(model, limits);
    const found = await limits.catch(() => []);
    if (found.length === 0) read.delete(model);
    return limits;
  };
  app.openapi(count, async (c) => {
    const request = c.req.valid("json");
    const served = modelNamed(models, request.model);
    const limits = await limitsOf(served);
    if (limits.length === 0) throw unknown(served.info.id);
    return c.json({ texts: countTexts(limits, request) }, 200);
  });
  return app;
}

function unknown(model: string): HttpError {
  const rule = `must have a tokenizer that a worker announced, got none for ${JSON.stringify(model)}.`;
  return new HttpError({ status: 404, code: "not_found", message: `model: ${rule}`, field: "model" });
}
