/** @file Prometheus metrics: requests, jobs, the queue, and Node itself. */

import type { MiddlewareHandler } from "hono";
import { routePath } from "hono/route";
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from "prom-client";
import { type JobQueue, type JobStatus, QueueUnreachable } from "../jobs/queue.js";

export type Metrics = {
  /** The metrics in Prometheus' format. */
  text(): Promise<string>;
  contentType: string;
  /** Times requests by route. */
  middleware: MiddlewareHandler;
  /** Counts a job that ended. */
  jobEnded(job: JobStatus): void;
  /** Adds the depth of this queue. */
  watch(queue: JobQueue): void;
};

/** `node: false` leaves out Node's own metrics, whose collection goes on until the process ends. */
export function makeMetrics({ node = true } = {}): Metrics {
  const register = new Registry();
  if (node) collectDefaultMetrics({ register });
  return {
    text: () => register.metrics(),
    contentType: register.contentType,
    middleware: requestMetrics(register),
    jobEnded: jobMetrics(register),
    watch: (queue) => queueMetrics(register, queue),
  };
}

function requestMetrics(register: Registry): MiddlewareHandler {
  const requests = new Histogram({
    name: "koala_http_request_seconds",
    help: "Time until an answer begins, by route.",
    labelNames: ["method", "route", "status"] as const,
    registers: [register],
  });
  return async (c, next) => {
    const done = requests.startTimer();
    await next();
    // The route's pattern, not the path: ids would make a series each. The last matched one is the handler's.
    done({ method: c.req.method, route: routePath(c, -1), status: c.res.status });
  };
}

const generationBuckets = [0.25, 0.5, 1, 2, 5, 10, 20, 60, 120, 300, 600];

function jobMetrics(register: Registry): Metrics["jobEnded"] {
  const registers = [register];
  const jobs = new Counter({
    name: "koala_jobs_total",
    help: "Jobs that ended, by how.",
    labelNames: ["state", "model"] as const,
    registers,
  });
  const imageCount = new Counter({ name: "koala_images_total", help: "Images generated.", registers });
  const generating = new Histogram({
    name: "koala_job_generation_seconds",
    help: "Time from a job's start to its end.",
    buckets: generationBuckets,
    registers,
  });
  const waiting = new Histogram({
    name: "koala_job_wait_seconds",
    help: "Time that a job waited in the queue.",
    buckets: generationBuckets,
    registers,
  });
  return ({ state, settings, images, createdAt, startedAt, finishedAt }) => {
    jobs.inc({ state, model: settings.model });
    imageCount.inc(images.length);
    if (startedAt === null) return;
    waiting.observe((startedAt - createdAt) / 1000);
    if (finishedAt !== null) generating.observe((finishedAt - startedAt) / 1000);
  };
}

function queueMetrics(register: Registry, queue: JobQueue): void {
  new Gauge({
    name: "koala_queue_jobs",
    help: "Jobs that wait and run.",
    labelNames: ["state"] as const,
    registers: [register],
    async collect() {
      const depth = await queue.depth().catch(ignoreOutage);
      if (!depth) return this.reset();
      const { queued, running } = depth;
      this.set({ state: "queued" }, queued);
      this.set({ state: "running" }, running);
    },
  });
}

/** Without the queue the other metrics are still answered. */
function ignoreOutage(error: unknown): undefined {
  if (!(error instanceof QueueUnreachable)) throw error;
}
