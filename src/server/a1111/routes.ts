/** @file The routes of AUTOMATIC1111's API. */

import { createRoute, OpenAPIHono, z } from "@hono/zod-openapi";
import { a1111Names } from "../../diffusion/schedulers/a1111-names.js";
import { InvalidRequest } from "../../errors.js";
import { type Aliases, type ModelRegistry, modelNamed } from "../../jobs/model-registry.js";
import type { JobRequest } from "../../jobs/processor.js";
import {
  type PartialRequest,
  requestedScheduler,
  resolvePartialRequest,
} from "../../jobs/resolve-request.js";
import { jsonOf } from "../described-routes.js";
import type { Service } from "../service.js";
import { validated } from "../validated.js";
import { a1111Lists } from "./lists.js";
import {
  clipSkipOf,
  type GlobalOptions,
  hasNoEffect,
  img2imgRequest,
  plainTitle,
  txt2imgRequest,
} from "./request.js";
import { a1111Response, timestamp } from "./response.js";
import * as schemas from "./schemas.js";
import { ServerState } from "./server-state.js";
import { refuseEta } from "./unsupported-fields.js";

const failures = { "4XX": jsonOf("Refused; detail says why.", schemas.a1111Error) };
const bodyOf = <T extends z.ZodType>(schema: T) => ({
  body: { required: true as const, content: { "application/json": { schema } } },
});
const tags = ["AUTOMATIC1111"];
const nothing = jsonOf("Done.", z.object({}));

const txt2img = createRoute({
  method: "post",
  path: "/sdapi/v1/txt2img",
  tags,
  request: bodyOf(schemas.txt2imgBody),
  responses: { 200: jsonOf("The images.", schemas.imagesAnswer), ...failures },
});
const img2img = createRoute({
  method: "post",
  path: "/sdapi/v1/img2img",
  tags,
  request: bodyOf(schemas.img2imgBody),
  responses: { 200: jsonOf("The images.", schemas.imagesAnswer), ...failures },
});
const progress = createRoute({
  method: "get",
  path: "/sdapi/v1/progress",
  tags,
  request: { query: z.looseObject({ skip_current_image: z.string().optional() }) },
  responses: { 200: jsonOf("Of the job that runs.", schemas.progressAnswer), ...failures },
});
const interrupt = createRoute({
  method: "post",
  path: "/sdapi/v1/interrupt",
  tags,
  responses: { 200: nothing },
});
const skip = createRoute({ method: "post", path: "/sdapi/v1/skip", tags, responses: { 200: nothing } });
const pngInfo = createRoute({
  method: "post",
  path: "/sdapi/v1/png-info",
  tags,
  request: bodyOf(schemas.pngInfoBody),
  responses: { 200: jsonOf("What the image says of its making.", schemas.pngInfoAnswer), ...failures },
});
const options = createRoute({
  method: "get",
  path: "/sdapi/v1/options",
  tags,
  responses: { 200: jsonOf("The options there are.", schemas.optionsBody), ...failures },
});
const setOptions = createRoute({
  method: "post",
  path: "/sdapi/v1/options",
  tags,
  request: bodyOf(schemas.optionsBody),
  responses: { 200: jsonOf("Done.", z.null()), ...failures },
});

export function a1111Routes(service: Service): OpenAPIHono {
  const { queue, clients, bodies, read, models, aliases, limits, wildcards } = service;
  const app = new OpenAPIHono({ defaultHook: validated() });
  const serverState = new ServerState(queue, clients);
  const resolved = (partial: PartialRequest, body: schemas.Txt2img): JobRequest => {
    const request = resolvePartialRequest({ ...partial, wildcards }, models, limits, aliases);
    const model = models.get(request.settings.model)!;
    refuseEta(body, a1111Names(requestedScheduler(request, model)).sampler);
    return request;
  };
  /** The job's request, and the body without what its response does not repeat. */
  const requestOfImg2img = async (body: schemas.Img2img) => {
    const partial = await img2imgRequest(body, await serverState.globalOptions(), read);
    return {
      request: resolved(partial, body),
      body: body.include_init_images ? body : { ...body, init_images: [], mask: null },
    };
  };
  app.openapi(txt2img, async (c) => {
    const body = c.req.valid("json");
    const request = resolved(txt2imgRequest(body, await serverState.globalOptions()), body);
    bodies.forget(c);
    const job = await serverState.generate(request, c.req.raw.signal);
    return c.json(await a1111Response(job, queue, body, models), 200);
  });
  app.openapi(img2img, async (c) => {
    const { request, body } = await requestOfImg2img(c.req.valid("json"));
    bodies.forget(c);
    const job = await serverState.generate(request, c.req.raw.signal);
    return c.json(await a1111Response(job, queue, body, models), 200);
  });
  app.openapi(progress, async (c) =>
    c.json(await progressOf(serverState, c.req.valid("query").skip_current_image === "true"), 200),
  );
  app.openapi(interrupt, async (c) => {
    await serverState.stop("interrupted");
    return c.json({}, 200);
  });
  app.openapi(skip, async (c) => {
    await serverState.stop("skipped");
    return c.json({}, 200);
  });
  app.openapi(pngInfo, async (c) => c.json(await read.pngInfo(c.req.valid("json").image), 200));
  app.openapi(options, async (c) => c.json(optionsOf(await serverState.globalOptions(), models), 200));
  app.openapi(setOptions, async (c) => {
    await serverState.set(changed(await serverState.globalOptions(), c.req.valid("json"), models, aliases));
    return c.json(null, 200);
  });
  app.route("/", a1111Lists(models));
  return app;
}

async function progressOf(serverState: ServerState, withoutImage: boolean) {
  const { job, count } = await serverState.current();
  const {
    step = 0,
    total = 0,
    secondsLeft = null,
    createdAt = Date.now(),
    id = "",
    stopped = null,
  } = job ?? {};
  const preview = withoutImage || !job ? undefined : await serverState.preview(job);
  return {
    progress: total > 0 ? step / total : 0,
    eta_relative: secondsLeft ?? 0,
    state: {
      skipped: stopped === "skipped",
      interrupted: stopped === "interrupted",
      stopping_generation: stopped !== null,
      job: id,
      job_count: count,
      job_timestamp: timestamp(createdAt),
      job_no: 0,
      sampling_step: step,
      sampling_steps: total,
    },
    current_image: preview ? Buffer.from(preview).toString("base64") : null,
    textinfo: null,
  };
}

const optionsOf = (
  { checkpoint, clipSkip }: GlobalOptions,
  models: ModelRegistry,
): Record<string, unknown> => ({
  sd_model_checkpoint: checkpoint ?? [...models.keys()][0] ?? null,
  sd_checkpoint_hash: null,
  sd_vae: "Automatic",
  CLIP_stop_at_last_layers: (clipSkip ?? 0) + 1,
  samples_format: "png",
  enable_pnginfo: true,
});

/** Options at their present value are accepted: clients send back all options that they read. */
function changed(
  globalOptions: GlobalOptions,
  given: Readonly<Record<string, unknown>>,
  models: ModelRegistry,
  aliases: Aliases,
): GlobalOptions {
  let { checkpoint, clipSkip } = globalOptions;
  const now = optionsOf(globalOptions, models);
  for (const [name, value] of Object.entries(given)) {
    if (Object.hasOwn(now, name) && now[name] === value) continue;
    if (name === "sd_model_checkpoint" && typeof value === "string")
      checkpoint = modelNamed(models, plainTitle(value), aliases).info.id;
    else if (name === "CLIP_stop_at_last_layers") clipSkip = clipSkipOf(name, value);
    else if (!hasNoEffect(name, value)) {
      throw new InvalidRequest(
        name.slice(0, 100),
        value,
        "is no option of this server, or has one value. Leave it out.",
      );
    }
  }
  return { ...(checkpoint !== undefined && { checkpoint }), ...(clipSkip !== undefined && { clipSkip }) };
}
