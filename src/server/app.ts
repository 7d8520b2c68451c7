/** @file The HTTP app, from Request to Response: guards, the APIs, the page. Opens no socket. */

import { OpenAPIHono } from "@hono/zod-openapi";
import type { Context, MiddlewareHandler } from "hono";
import { type PageFiles, pageRoutes } from "../http/page-files.js";
import { securityHeaders } from "../http/security-headers.js";
import type { JobQueue } from "../jobs/queue.js";
import { versions } from "../pipeline/metadata/versions.js";
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
import { type TabFiles, tabRoutes } from "./tab-routes.js";
import { tokenRoutes } from "./token-routes.js";

export type AppOptions = Omit<Service, "clients" | "aliases" | "bodies" | "trustProxy" | "onError"> &
  Partial<Pick<Service, "aliases" | "onError">> & {
    guard: GuardOptions;
    page?: PageFiles;
    /** What the page needs to generate in the tab. */
    tab?: TabFiles;
    /** Called with a line for the log about every request that is refused. */
    onRejected?: (line: string) => void;
  };

export function createApp({
  guard,
  page = new Map(),
  tab = new Map(),
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
  app.use(securityHeaders({ tab: true }), metrics.middleware, rejectForeign(guard));
  if (guard.allowOrigins?.length) app.use(allowedOrigins(guard.allowOrigins));
  if (guard.key !== undefined) app.use(requireKey(guard.key, (c) => isPublic(c, page, tab)));
  for (const path of ["/api/*", "/v1/*", "/sdapi/*"]) app.use(path, whenOpened(queue));
  app.use(bodies.middleware);
  app.route("/", jobRoutes(service));
  app.route("/", eventRoutes(service));
  app.route("/", tokenRoutes(service));
  app.route("/", openaiRoutes(service));
  app.route("/", a1111Routes(service));
  monitoringRoutes(app, service);
  documentRoute(app, guard.key !== undefined);
  app.route("/", pageRoutes(page));
  app.route("/", tabRoutes(tab));
  if (!page.has("/")) app.get("/", (c) => c.text("koala serves an API here: /openapi.json describes it.\n"));
  const answer = (c: Context, problem: Problem) => {
    if (problem.bug !== undefined) onError(problem.bug);
    // A client that hung up reads no refusal.
    if (!c.req.raw.signal.aborted) onRejected(refusalLine(c, problem));
    return answerProblem(c, problem);
  };
  app.onError((error, c) => answer(c, problemOf(error)));
  app.notFound((c) => answer(c, unrouted(app, c)));
  return app;
}

/** For a load balancer and Prometheus. */
function monitoringRoutes(app: OpenAPIHono, { queue, metrics }: Service): void {
  app.get("/healthz", async (c) => {
    const health = await queue.health();
    if (health.ok) return c.json({ status: "ok", ...(await queue.depth()) });
    const depth = await queue.depth().catch(() => ({}));
    return c.json({ status: health.reason, ...depth }, 503);
  });
  app.get("/metrics", async (c) =>
    c.body(await metrics.text(), 200, { "content-type": metrics.contentType }),
  );
}

function documentRoute(app: OpenAPIHono, withKey: boolean): void {
  describeOthers(app.openAPIRegistry);
  if (withKey)
    app.openAPIRegistry.registerComponent("securitySchemes", "key", { type: "http", scheme: "bearer" });
  const about = {
    openapi: "3.1.0",
    info: { title: "koala serve", version: versions().app.split(" ")[1]! },
    ...(withKey && { security: [{ key: [] }] }),
  };
  // Made at the first request, which takes a while, and kept: the routes do not change.
  let document: object | undefined;
  app.get("/openapi.json", (c) => c.json((document ??= app.getOpenAPI31Document(about))));
}

/** Refuses requests until the queue was reached for the first time. */
const whenOpened =
  (queue: JobQueue): MiddlewareHandler =>
  async (_, next) => {
    await queue.opened();
    await next();
  };

/** Paths whose bodies may carry images. */
export const imagePaths: ReadonlySet<string> = new Set([
  "/api/jobs",
  "/v1/images/edits",
  "/sdapi/v1/img2img",
  "/sdapi/v1/png-info",
  // Disabled units of ControlNet carry images too.
  "/sdapi/v1/txt2img",
]);

/** Paths that need no key: images, whose addresses cannot be guessed as `<img>` cannot send a key, and the page's files. */
function isPublic(c: Context, page: PageFiles, tab: TabFiles): boolean {
  if (c.req.method !== "GET" && c.req.method !== "HEAD") return false;
  const { path } = c.req;
  if (page.has(path) || tab.has(path)) return true;
  return path === "/" || path === "/healthz" || /^\/api\/jobs\/[^/]+\/images\/\d+$/.test(path);
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
