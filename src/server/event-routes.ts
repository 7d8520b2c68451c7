/**
 * @file Routes of server-sent events: of one job, or of many over one connection. Browsers open six connections to a
 * server over HTTP/1.1, so a page with a stream for each of its jobs could send no further request.
 *
 * A stream of many names its jobs in its address, as Mercure's names topics: this server keeps nothing of a client, any
 * server over the same queue can go on, and a client that has another job to follow connects again with a new list.
 * Every connection begins with the state of each job, so nothing is lost in between.
 */

import { createRoute, OpenAPIHono, z } from "@hono/zod-openapi";
import type { Context } from "hono";
import { streamSSE } from "hono/streaming";
import { InvalidRequest } from "../errors.js";
import { mostFollowed } from "../jobs/limits.js";
import { isOver, type JobEvent, type JobStatus } from "../jobs/queue.js";
import type * as schemas from "../jobs/schemas.js";
import { failures, params, publicImage, publicJob } from "./job-routes.js";
import { notFound, problemOf } from "./problem.js";
import type { Service } from "./service.js";
import { validated } from "./validated.js";

const stream = { description: "Events.", content: { "text/event-stream": { schema: z.string() } } };
const ended = { description: "All is over and the last event was received: do not connect again." };

const one = createRoute({
  method: "get",
  path: "/api/jobs/{id}/events",
  tags: ["jobs"],
  summary: "Server-sent events state, step, preview and image, until the job is over.",
  request: { params },
  responses: { 200: stream, 204: ended, ...failures },
});
const many = createRoute({
  method: "get",
  path: "/api/events",
  tags: ["jobs"],
  summary: "The same events of several jobs over one connection, until all of them are over.",
  request: {
    query: z.object({
      jobs: z.string().openapi({ description: "Ids, separated by commas.", example: "4f0c2a4e-…,b1d3…" }),
    }),
  },
  responses: { 200: stream, 204: ended, ...failures },
});

export function eventRoutes(service: Service): OpenAPIHono {
  const { queue } = service;
  const app = new OpenAPIHono({ defaultHook: validated() });
  app.openapi(one, async (c) => {
    const { id } = c.req.valid("param");
    const job = await queue.get(id);
    if (!job) throw notFound("job", id);
    return streamJobs(c, new Map([[id, job]]), service);
  });
  app.openapi(many, async (c) => {
    const ids = idsIn(c.req.valid("query").jobs);
    const jobs = await Promise.all(ids.map(async (id) => [id, await queue.get(id)] as const));
    return streamJobs(c, new Map(jobs), service);
  });
  return app;
}

function idsIn(text: string): string[] {
  const ids = [...new Set(text.split(",").map((id) => id.trim()))].filter((id) => id !== "");
  if (ids.length > 0 && ids.length <= mostFollowed) return ids;
  const rule = `must be from 1 to ${mostFollowed} ids with commas between them, got ${ids.length}.`;
  throw new InvalidRequest("jobs", text.slice(0, 200), rule);
}

/** The id of the event after which clients must not connect again. */
const lastId = "end";

function streamJobs(
  c: Context,
  jobs: ReadonlyMap<string, JobStatus | undefined>,
  { clients, onError }: Pick<Service, "clients" | "onError">,
): Response {
  const known = [...jobs.values()].filter((job) => job !== undefined);
  if (c.req.header("last-event-id") === lastId && known.every(({ state }) => isOver(state)))
    return c.body(null, 204);
  // Hono answers HEAD as GET without the body, and an unread stream would never end.
  if (c.req.method === "HEAD") return c.body(null, 200, { "content-type": "text/event-stream" });
  c.header("x-accel-buffering", "no"); // nginx would hold events back
  const controller = new AbortController();
  const ids = known.map(({ id }) => id);
  const events = clients.watch(ids, controller.signal);
  return streamSSE(c, async (stream) => {
    stream.onAbort(() => controller.abort());
    const beat = setInterval(() => void stream.write(": still here\n\n"), 20_000);
    const open = new Set(jobs.keys());
    const send = async (job: string, { name, data }: Named, over: boolean) => {
      const last = over && open.delete(job) && open.size === 0;
      await stream.writeSSE({ event: name, data: JSON.stringify(data), ...(last && { id: lastId }) });
    };
    try {
      for (const [job, status] of jobs) if (!status) await send(job, { name: "gone", data: { job } }, true);
      for await (const { id, event } of events)
        await send(id, named(event, id), event.type === "state" && isOver(event.job.state));
    } catch (error) {
      // The stream ends before its last event, and an EventSource connects again.
      const { bug } = problemOf(error);
      if (bug !== undefined) onError(bug);
    } finally {
      clearInterval(beat);
    }
  });
}

type Named =
  | { name: "state"; data: schemas.Job }
  | { name: "step"; data: schemas.StepEvent }
  | { name: "preview"; data: schemas.PreviewEvent }
  | { name: "image"; data: schemas.ImageEvent }
  | { name: "gone"; data: schemas.GoneEvent };

/** An event as it is sent to clients. */
function named(event: JobEvent, job: string): Named {
  switch (event.type) {
    case "state":
      return { name: "state", data: publicJob(event.job) };
    case "step": {
      const { step, total, secondsLeft } = event;
      return { name: "step", data: { job, step, total, secondsLeft } };
    }
    case "preview": {
      const { index, step, mediaType, bytes } = event;
      const url = `data:${mediaType};base64,${Buffer.from(bytes).toString("base64")}`;
      return { name: "preview", data: { job, index, step, url } };
    }
    case "image":
      return { name: "image", data: { job, ...publicImage(job, event.image) } };
    default:
      return event satisfies never;
  }
}
