/** @file AUTOMATIC1111's routes. */

import { createRoute, OpenAPIHono, z } from "@hono/zod-openapi";
import { InvalidRequest } from "../../errors.js";
import { type Aliases, type Catalogue, modelNamed } from "../../jobs/model-registry.js";
import { settleWish } from "../../jobs/resolve-request.js";
import { jsonOf } from "../described-routes.js";
import type { Service } from "../service.js";
import { validated } from "../validated.js";
import { webuiLists } from "./lists.js";
import { clipSkipOf, hasNoEffect, img2imgWish, plainTitle, type Standing, txt2imgWish } from "./request.js";
import { timestamp, webuiAnswer } from "./response.js";
import * as schemas from "./schemas.js";
import { Desk } from "./server-state.js";

const failures = { "4XX": jsonOf("Refused; detail says why.", schemas.webuiError) };
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
  responses: { 200: jsonOf("The pictures.", schemas.imagesAnswer), ...failures },
});
const img2img = createRoute({
  method: "post",
  path: "/sdapi/v1/img2img",
  tags,
  request: bodyOf(schemas.img2imgBody),
  responses: { 200: jsonOf("The pictures.", schemas.imagesAnswer), ...failures },
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
  responses: { 200: jsonOf("What the picture says of its making.", schemas.pngInfoAnswer), ...failures },
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

export function webuiRoutes(service: Service): OpenAPIHono {
  const { queue, audience, bodies, read, catalogue, aliases, limits } = service;
  const app = new OpenAPIHono({ defaultHook: validated() });
  const desk = new Desk(queue, audience);
  /** The order, and of the body what its answer repeats. */
  const img2imgOrder = async (body: schemas.Img2img) => {
    const wish = await img2imgWish(body, await desk.standing(), read);
    const order = settleWish(wish, catalogue, limits, aliases);
    return { order, body: body.include_init_images ? body : { ...body, init_images: [], mask: null } };
  };
  app.openapi(txt2img, async (c) => {
    const body = c.req.valid("json");
    const order = settleWish(txt2imgWish(body, await desk.standing()), catalogue, limits, aliases);
    bodies.forget(c);
    const job = await desk.paint(order, c.req.raw.signal);
    return c.json(await webuiAnswer(job, queue, body, catalogue), 200);
  });
  app.openapi(img2img, async (c) => {
    const { order, body } = await img2imgOrder(c.req.valid("json"));
    bodies.forget(c);
    const job = await desk.paint(order, c.req.raw.signal);
    return c.json(await webuiAnswer(job, queue, body, catalogue), 200);
  });
  app.openapi(progress, async (c) =>
    c.json(await progressOf(desk, c.req.valid("query").skip_current_image === "true"), 200),
  );
  app.openapi(interrupt, async (c) => {
    await desk.stop("interrupted");
    return c.json({}, 200);
  });
  app.openapi(skip, async (c) => {
    await desk.stop("skipped");
    return c.json({}, 200);
  });
  app.openapi(pngInfo, async (c) => c.json(await read.pngInfo(c.req.valid("json").image), 200));
  app.openapi(options, async (c) => c.json(optionsOf(await desk.standing(), catalogue), 200));
  app.openapi(setOptions, async (c) => {
    await desk.set(changed(await desk.standing(), c.req.valid("json"), catalogue, aliases));
    return c.json(null, 200);
  });
  app.route("/", webuiLists(catalogue));
  return app;
}

async function progressOf(desk: Desk, withoutImage: boolean) {
  const { job, count } = await desk.current();
  const {
    step = 0,
    total = 0,
    secondsLeft = null,
    createdAt = Date.now(),
    id = "",
    stopped = null,
  } = job ?? {};
  const preview = withoutImage || !job ? undefined : await desk.preview(job);
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

const optionsOf = ({ checkpoint, clipSkip }: Standing, catalogue: Catalogue): Record<string, unknown> => ({
  sd_model_checkpoint: checkpoint ?? [...catalogue.keys()][0] ?? null,
  sd_checkpoint_hash: null,
  sd_vae: "Automatic",
  CLIP_stop_at_last_layers: (clipSkip ?? 0) + 1,
  samples_format: "png",
  enable_pnginfo: true,
});

/** Options at the value they have are accepted: clients send back all that they were given. */
function changed(
  standing: Standing,
  given: Readonly<Record<string, unknown>>,
  catalogue: Catalogue,
  aliases: Aliases,
): Standing {
  let { checkpoint, clipSkip } = standing;
  const now = optionsOf(standing, catalogue);
  for (const [name, value] of Object.entries(given)) {
    if (Object.hasOwn(now, name) && now[name] === value) continue;
    if (name === "sd_model_checkpoint" && typeof value === "string")
      checkpoint = modelNamed(catalogue, plainTitle(value), aliases).card.id;
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
