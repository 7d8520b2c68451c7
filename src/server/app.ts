/** @file The server as a function from Request to Response: guards, the APIs, the page. Opens no socket. */

import { OpenAPIHono } from "@hono/zod-openapi";
import type { Context, MiddlewareHandler } from "hono";
import { type PageFiles, pageRoutes } from "../http/page-files.js";
import { securityHeaders } from "../http/security-headers.js";
import type { JobQueue } from "../jobs/queue.js";
import { versions } from "../pipeline/metadata/write.js";
import { a1111Problem } from "./a1111/problem.js";
import { a1111Routes } from "./a1111/routes.js";
import { Bodies } from "./body.js";
import { ClientTracker } from "./client-tracker.js";
import { describeOthers } from "./described-routes.js";
import { eventRoutes } from "./event-routes.js";
import { allowedOrigins, type GuardOptions, rejectForeign, requireKey } from "./guard.js";
import { jobRoutes } from "./job-routes.js";
import { openaiProblem } from "./openai/problem.js";
import { openaiRoutes } from "./openai/routes.js";
import { type Problem, problemOf } from "./problem.js";
import { refusalLine } from "./refusals.js";
import type { Service } from "./service.js";
import { tokenRoutes } from "./token-routes.js";

export type AppOptions = Omit<Service, "clients" | "aliases" | "bodies" | "trustProxy" | "onError"> &
  Partial<Pick<Service, "aliases" | "onError">> & {
    guard: GuardOptions;
    page?: PageFiles;
    /** Called with a line for the log about every request that is refused. */
    onRejected?: (line: string) => void;
  };

export function createApp({
  guard,
  page = new Map(),
  onError = () => {},
  onRejected = () => {},
  ...rest
}: AppOptions): OpenAPIHono {
  const bodies = new Bodies(rest.limits, (path) => imagePaths.has(path));
  const service: Service = {
    aliases: new Map(),
    trustProxy: guard.trustProxy ?? false,
    ...rest,
    onError,
    bodies,
    clients: new ClientTracker(rest.queue),
  };
  const { metrics, queue } = service;
  const app = new OpenAPIHono();
  app.use(securityHeaders, metrics.middleware, rejectForeign(guard));
  if (guard.allowOrigins?.length) app.use(allowedOrigins(guard.allowOrigins));
  if (guard.key !== undefined) app.use(requireKey(guard.key, (c) => isPublic(c, page)));
  for (const path of ["/api/*", "/v1/*", "/sdapi/*"]) app.use(path, whenOpened(queue));
  app.use(bodies.middleware);
  app.route("/", jobRoutes(service));
  app.route("/", eventRoutes(service));
  app.route("/", tokenRoutes(service));
  app.route("/", openaiRoutes(service));
  app.route("/", a1111Routes(service));
  app.get("/healthz", async (c) => {
    const health = await queue.health();
    if (health.ok) return c.json({ status: "ok", ...(await queue.depth()) });
    const depth = await queue.depth().catch(() => ({}));
    return c.json({ status: health.reason, ...depth }, 503);
  });
  app.get("/metrics", async (c) =>
    c.body(await metrics.text(), 200, { "content-type": metrics.contentType }),
  );
  describeOthers(app.openAPIRegistry);
  if (guard.key !== undefined) {
    app.openAPIRegistry.registerComponent("securitySchemes", "key", { type: "http", scheme: "bearer" });
  }
  const about = {
    openapi: "3.1.0",
    info: { title: "koala serve", version: versions().app.split(" ")[1]! },
    ...(guard.key !== undefined && { security: [{ key: [] }] }),
  };
  // Made once, which takes a while: what is in it does not change.
  let document: object | undefined;
  app.get("/openapi.json", (c) => c.json((document ??= app.getOpenAPI31Document(about))));
  app.route("/", pageRoutes(page));
  if (!page.has("/")) app.get("/", (c) => c.text("koala serves an API here: /openapi.json describes it.\n"));
  const answer = (c: Context, problem: Problem) => {
    if (problem.bug !== undefined) onError(problem.bug);
    // Nobody is refused who hung up.
    if (!c.req.raw.signal.aborted) onRejected(refusalLine(c, problem));
    return answerProblem(c, problem);
  };
  app.onError((error, c) => answer(c, problemOf(error)));
  app.notFound((c) => answer(c, unrouted(app, c)));
  return app;
}

const whenOpened =
  (queue: JobQueue): MiddlewareHandler =>
  async (_, next) => {
    await queue.opened();
    await next();
  };

/** Whose bodies carry images. */
export const imagePaths: ReadonlySet<string> = new Set([
  "/api/jobs",
  "/v1/images/edits",
  "/sdapi/v1/img2img",
  "/sdapi/v1/png-info",
  // Units of ControlNet that are switched off bring their images along.
  "/sdapi/v1/txt2img",
]);

/** Images' addresses cannot be guessed, and `<img>` cannot send a key; the page's files hold no secrets. */
function isPublic(c: Context, page: PageFiles): boolean {
  if (c.req.method !== "GET" && c.req.method !== "HEAD") return false;
  const { path } = c.req;
  return (
    path === "/" || path === "/healthz" || page.has(path) || /^\/api\/jobs\/[^/]+\/images\/\d+$/.test(path)
  );
}

/** 405 where the path is known under another method, else 404. */
function unrouted(app: OpenAPIHono, c: Context): Problem {
  const other = ["GET", "POST", "DELETE"].filter((method) => method !== c.req.method);
  const allowed = other.filter((method) =>
    app.router.match(method, c.req.path)[0].some(([[, { method: own }]]) => own === method),
  );
  if (allowed.length > 0) {
    const message = `method: must be ${allowed.join(" or ")} here, got ${c.req.method}.`;
    return { status: 405, code: "method_not_allowed", message, headers: { allow: allowed.join(", ") } };
  }
  return { status: 404, code: "not_found", message: "path: no such route. /openapi.json lists them." };
}

function answerProblem(c: Context, problem: Problem): Response {
  const { status, code, message, field, retryAfter, headers = {} } = problem;
  for (const [name, value] of Object.entries(headers)) c.header(name, value);
  if (retryAfter !== undefined) c.header("retry-after", String(retryAfter));
  if (c.req.path.startsWith("/v1/")) {
    const { status: own, body } = openaiProblem(problem);
    return c.json(body, own);
  }
  if (c.req.path.startsWith("/sdapi/")) return c.json(a1111Problem(problem), status);
  return c.json({ error: { code, message, ...(field !== undefined && { field }) } }, status);
}
