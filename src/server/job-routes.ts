/** @file The jobs API: submit, read, list and cancel jobs, fetch images; and the list of models. Events are in event-routes.ts. */

import { createRoute, OpenAPIHono, z } from "@hono/zod-openapi";
import { modelList } from "../jobs/model-schemas.js";
import { type JobStatus, jobWarnings } from "../jobs/queue.js";
import { resolveRequest } from "../jobs/resolve-request.js";
import * as schemas from "../jobs/schemas.js";
import { jsonOf } from "./described-routes.js";
import { notFound } from "./problem.js";
import { imageFile, type Service } from "./service.js";
import { validated } from "./validated.js";

export const failures = { "4XX": jsonOf("Refused; the error says why.", schemas.problem) };
export const params = z.object({
  id: z.string().openapi({ example: "4f0c2a4e-6c1b-4b0e-9d0a-3f1f9a1b2c3d" }),
});
const imageParams = params.extend({ n: z.string().openapi({ example: "0" }) });
const binary = { schema: z.string().openapi({ format: "binary" }) };
const tags = ["jobs"];

const submit = createRoute({
  method: "post",
  path: "/api/jobs",
  tags,
  summary: "Submit a job.",
  request: {
    body: { required: true, content: { "application/json": { schema: schemas.generationRequest } } },
  },
  responses: {
    202: { ...jsonOf("The job, queued.", schemas.job), headers: z.object({ location: z.string() }) },
    ...failures,
  },
});
const list = createRoute({
  method: "get",
  path: "/api/jobs",
  tags,
  summary:
    "The latest 200 jobs of the last hour, latest first; or those that wait or run, the first that came first.",
  request: {
    query: z.object({
      unfinished: z
        .enum(["true", "false"], "must be true or false")
        .optional()
        .openapi({ description: "true: only those that wait or run." }),
    }),
  },
  responses: { 200: jsonOf("Jobs.", schemas.jobList), ...failures },
});
const read = createRoute({
  method: "get",
  path: "/api/jobs/{id}",
  tags,
  summary: "A job as it is now.",
  request: { params },
  responses: { 200: jsonOf("The job.", schemas.job), ...failures },
});
const cancel = createRoute({
  method: "delete",
  path: "/api/jobs/{id}",
  tags,
  summary: "Cancel a job, at the latest at the end of the running network call.",
  request: { params },
  responses: { 200: jsonOf("The job as it then is.", schemas.job), ...failures },
});
const fetchImage = createRoute({
  method: "get",
  path: "/api/jobs/{id}/images/{n}",
  tags,
  summary: "A finished image's file.",
  security: [],
  request: { params: imageParams },
  responses: {
    200: {
      description: "The file, with its metadata inside.",
      content: { "image/png": binary, "image/jpeg": binary, "image/webp": binary },
    },
    ...failures,
  },
});
const fetchWordMaps = createRoute({
  method: "get",
  path: "/api/jobs/{id}/images/{n}/attention",
  tags,
  summary: "Where each word of an image's prompt went, of a job with attentionMaps.",
  request: { params: imageParams },
  responses: { 200: jsonOf("A map of each word.", schemas.wordMaps), ...failures },
});
const fetchSteps = createRoute({
  method: "get",
  path: "/api/jobs/{id}/images/{n}/steps",
  tags,
  summary: "What each step predicted of an image, of a job with explainSteps.",
  request: { params: imageParams },
  responses: { 200: jsonOf("Predictions of each step.", schemas.stepPredictions), ...failures },
});
const models = createRoute({
  method: "get",
  path: "/api/models",
  tags: ["models"],
  summary: "The models, their defaults and schedulers, and this server's limits.",
  responses: {
    200: jsonOf("Models; the first is taken where none is named.", modelList),
    ...failures,
  },
});

export function jobRoutes(service: Service): OpenAPIHono {
  const { queue, models: registry, aliases, limits, wildcards, read: images } = service;
  const app = new OpenAPIHono({ defaultHook: validated(schemas.generationRequest) });
  const found = async (id: string, job: Promise<JobStatus | undefined>) => {
    const status = await job;
    if (!status) throw notFound("job", id);
    return publicJob(status);
  };
  app.openapi(submit, async (c) => {
    const request = await resolveRequest(c.req.valid("json"), registry, limits, {
      aliases,
      wildcards,
      read: images,
    });
    const job = publicJob(await queue.submit(request));
    return c.json(job, 202, { location: `/api/jobs/${job.id}` });
  });
  app.openapi(list, async (c) => {
    const isLive = c.req.valid("query").unfinished === "true";
    return c.json({ jobs: (await (isLive ? queue.live() : queue.list())).map(publicJob) }, 200);
  });
  app.openapi(models, (c) => c.json({ models: [...registry.values()].map(({ info }) => info), limits }, 200));
  app.openapi(read, async (c) => {
    const { id } = c.req.valid("param");
    return c.json(await found(id, queue.get(id)), 200);
  });
  app.openapi(cancel, async (c) => {
    const { id } = c.req.valid("param");
    return c.json(await found(id, queue.cancel(id)), 200);
  });
  app.openapi(fetchImage, async (c) => {
    const { id, n } = c.req.valid("param");
    const file = await imageFile(queue, id, /^\d{1,4}$/.test(n) ? Number(n) : undefined);
    const name = `koala-${id.slice(0, 8)}-${n}.${file.mediaType.slice("image/".length)}`;
    return c.body(new Uint8Array(file.bytes), 200, {
      "content-type": file.mediaType,
      "content-disposition": `inline; filename="${name}"`,
      "cache-control": "private, max-age=3600, immutable",
    });
  });
  app.openapi(fetchWordMaps, async (c) => {
    const { id, n } = c.req.valid("param");
    const image = (await queue.get(id))?.images.find(({ index }) => String(index) === n);
    if (!image?.wordMaps) throw notFound("attention maps", `${id}/${n}`);
    return c.json(image.wordMaps, 200);
  });
  app.openapi(fetchSteps, async (c) => {
    const { id, n } = c.req.valid("param");
    const image = (await queue.get(id))?.images.find(({ index }) => String(index) === n);
    if (!image?.stepPredictions) throw notFound("predictions of steps", `${id}/${n}`);
    return c.json(image.stepPredictions, 200);
  });
  return app;
}

export const publicImage = (
  job: string,
  { wordMaps, stepPredictions, ...image }: JobStatus["images"][number],
): schemas.JobImage => {
  const url = `/api/jobs/${job}/images/${image.index}`;
  return {
    ...image,
    url,
    ...(wordMaps && { attentionUrl: `${url}/attention` }),
    ...(stepPredictions && { stepsUrl: `${url}/steps` }),
  };
};

export const publicJob = ({ api: _, stopped: __, ...job }: JobStatus): schemas.Job => ({
  ...job,
  images: job.images.map((image) => publicImage(job.id, image)),
  warnings: jobWarnings(job),
});
