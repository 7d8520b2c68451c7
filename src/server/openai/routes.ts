/** @file OpenAI's routes for images: generations, edits, models. */

import { createRoute, OpenAPIHono } from "@hono/zod-openapi";
import type { Context } from "hono";
import { findModel, type ServedModel } from "../../jobs/model-registry.js";
import { type JobStatus, jobWarnings } from "../../jobs/queue.js";
import { resolvePartialRequest } from "../../jobs/resolve-request.js";
import { jsonOf } from "../described-routes.js";
import { publicOrigin } from "../forwarded.js";
import { notFound } from "../problem.js";
import { imageFile, type Service } from "../service.js";
import { validated } from "../validated.js";
import { editRequest, generationRequest, type OpenaiRequest } from "./request.js";
import {
  editForm,
  generationBody,
  type ImagesAnswer,
  imagesAnswer,
  modelsAnswer,
  noUsage,
  openaiError,
} from "./schemas.js";
import { streamJob } from "./stream.js";

const failures = { "4XX": jsonOf("Refused; the error says why.", openaiError) };
const tags = ["OpenAI"];
const images = { 200: jsonOf("The images; with stream, server-sent events.", imagesAnswer), ...failures };

const generations = createRoute({
  method: "post",
  path: "/v1/images/generations",
  tags,
  summary: "Generate images from a prompt.",
  request: { body: { required: true, content: { "application/json": { schema: generationBody } } } },
  responses: images,
});
const edits = createRoute({
  method: "post",
  path: "/v1/images/edits",
  tags,
  summary: "Generate from an image and a prompt; with a mask, a part of the image.",
  request: { body: { required: true, content: { "multipart/form-data": { schema: editForm } } } },
  responses: images,
});
const models = createRoute({
  method: "get",
  path: "/v1/models",
  tags,
  summary: "The models there are.",
  responses: { 200: jsonOf("Models.", modelsAnswer), ...failures },
});

export function openaiRoutes(service: Service): OpenAPIHono {
  const app = new OpenAPIHono({ defaultHook: validated(generationBody) });
  const created = Math.floor(Date.now() / 1000);
  /** A model under its id or another name. */
  const described = (name: string, { info: { id, device, dtype, weights } }: ServedModel) => ({
    id: name,
    object: "model" as const,
    created,
    owned_by: id.includes("/") ? id.slice(0, id.indexOf("/")) : "koala",
    ...(device !== undefined && { device }),
    ...(dtype !== undefined && { dtype }),
    ...(weights !== undefined && { weights }),
  });
  // Made for each request: with Redis, models come and go. Other names of a model are not listed, or clients would show
  // it several times.
  const listed = () => [...service.models].map(([id, model]) => described(id, model));
  app.openapi(generations, async (c) =>
    answer(c, service, generationRequest(c.req.valid("json")), "image_generation"),
  );
  app.openapi(edits, async (c) =>
    answer(c, service, await editRequest(c.req.valid("form"), service.read), "image_edit"),
  );
  app.openapi(models, (c) => c.json({ object: "list" as const, data: listed() }, 200));
  // Ids of the Hub have a slash, which clients may or may not escape.
  app.get("/v1/models/:id{.+}", (c) => {
    const name = c.req.param("id");
    const model = findModel(service.models, name, service.aliases);
    if (!model) throw notFound("model", name);
    return c.json(described(name, model), 200);
  });
  return app;
}

async function answer(
  c: Context,
  service: Service,
  { partial, stream, partials, url }: OpenaiRequest,
  kind: string,
) {
  const { models, aliases, limits, wildcards, queue, clients, bodies, onError } = service;
  const request = resolvePartialRequest({ ...partial, wildcards }, models, limits, aliases);
  const job = await clients.submitAttended(request);
  bodies.forget(c);
  // The answer's type covers JSON alone.
  if (stream) return streamJob(c, { queue, clients: clients, onError, job, partials, kind }) as never;
  const done = await clients.outcome(job, c.req.raw.signal);
  return c.json(await imagesOf(done, service, url ? publicOrigin(c, service.trustProxy) : undefined), 200);
}

/** With `origin`, URLs there instead of the images themselves. */
async function imagesOf(
  job: JobStatus,
  { queue }: Service,
  origin: string | undefined,
): Promise<ImagesAnswer> {
  const { width, height, outputFormat } = job.settings;
  const data = await Promise.all(
    job.images.map(async ({ index, seed }) => {
      if (origin !== undefined) return { url: `${origin}/api/jobs/${job.id}/images/${index}`, seed };
      const { bytes } = await imageFile(queue, job.id, index);
      return { b64_json: Buffer.from(bytes).toString("base64"), seed };
    }),
  );
  const about = { background: "opaque" as const, output_format: outputFormat, size: `${width}x${height}` };
  const created = Math.floor(job.createdAt / 1000);
  return { created, ...about, data, warnings: jobWarnings(job), usage: noUsage };
}
