/** @file A server with the tiny model for tests: as a function, or on a socket. */

import type { OpenAPIHono } from "@hono/zod-openapi";
import { createParser, type EventSourceMessage } from "eventsource-parser";
import { type Listening, listen } from "../src/http/listen.js";
import type { PageFiles } from "../src/http/page-files.js";
import { defaultLimits } from "../src/jobs/limits.js";
import { type MemoryQueueOptions, memoryQueue } from "../src/jobs/memory-queue.js";
import {
  type Aliases,
  type ModelRegistry,
  type NamedLora,
  openModelRegistry,
  type SingleFileLoad,
} from "../src/jobs/model-registry.js";
import type { Limits } from "../src/jobs/model-schemas.js";
import { openProcessor } from "../src/jobs/pipeline-processor.js";
import type { JobRequest } from "../src/jobs/processor.js";
import type { JobQueue, JobStatus } from "../src/jobs/queue.js";
import { resolveRequest } from "../src/jobs/resolve-request.js";
import type { GenerationRequest } from "../src/jobs/schemas.js";
import type { Embedding } from "../src/pipeline/embeddings.js";
import { createApp } from "../src/server/app.js";
import type { GuardOptions } from "../src/server/guard.js";
import { imageTasks } from "../src/server/image-tasks.js";
import { makeMetrics } from "../src/server/metrics.js";

export const pipelines = new URL("../golden/data/pipelines", import.meta.url).pathname;
/** Slow enough to be seen and stopped while it generates. */
export const goldenModel = `${pipelines}/koala-1b-tiny`;
/** The golden model of this name with fewer layers, and a LoRA of it, trained for nothing (`small-model.ts`). */
export const tinyModel = new URL("data/koala-1b-tiny", import.meta.url).pathname;
export const tinyLora = {
  file: new URL("data/lora/koala-1b-tiny-diffusers.safetensors", import.meta.url).pathname,
  scale: 1,
};

export const tinyEmbedding = {
  token: "badmix",
  file: new URL("../golden/data/embeddings/koala-1b-tiny-badmix.safetensors", import.meta.url).pathname,
};

export type Stage = {
  app: OpenAPIHono;
  queue: JobQueue;
  models: ModelRegistry;
  /** Bugs that were met. */
  errors: unknown[];
  /** Lines about requests that were refused. */
  refusals: string[];
  get(path: string, headers?: Record<string, string>): Promise<Response>;
  post(path: string, body: unknown, headers?: Record<string, string>): Promise<Response>;
  request(change?: Partial<GenerationRequest>): Promise<JobRequest>;
  /** A job that runs and goes on for long. */
  busy(): Promise<JobStatus>;
  listen(): Promise<Listening>;
  close(): Promise<void>;
};

type StageOptions = {
  model?: string;
  guard?: Partial<GuardOptions>;
  limits?: Partial<Limits>;
  page?: PageFiles;
  queue?: MemoryQueueOptions;
  aliases?: Aliases;
  loras?: readonly NamedLora[];
  embeddings?: readonly Embedding[];
  load?: SingleFileLoad;
};

export async function stage(options: StageOptions = {}): Promise<Stage> {
  const { aliases = new Map(), loras = [], embeddings = [], load = {}, model = tinyModel } = options;
  const models = await openModelRegistry([model], { loras, load, embeddings });
  const processor = openProcessor(models, { threads: 1 });
  const metrics = makeMetrics({ node: false });
  const errors: unknown[] = [];
  const refusals: string[] = [];
  const onError = (error: unknown) => void errors.push(error);
  const limits = { ...defaultLimits, ...options.limits };
  const ends = { onEnd: metrics.jobEnded, onError, onClose: processor.close };
  const queue = memoryQueue(processor, { most: limits.queue, ...ends, ...options.queue });
  metrics.watch(queue);
  const guard = { host: "127.0.0.1", ...options.guard };
  const app = createApp({
    ...{ models: models, aliases, limits, queue, read: imageTasks, metrics, guard, onError },
    onRejected: (line) => void refusals.push(line),
    page: options.page ?? new Map(),
  });
  const fetch = async (path: string, init: RequestInit) =>
    app.fetch(new Request(`http://localhost${path}`, init));
  const request = (change: Partial<GenerationRequest> = {}) =>
    resolveRequest({ prompt: "a red bicycle", steps: 2, seed: 7, ...change }, models, limits);
  return {
    ...{ app, queue, models: models, errors, refusals, request: request },
    get: (path, headers = {}) => fetch(path, { headers }),
    post: (path, body, headers = {}) => {
      const text = typeof body === "string" ? body : JSON.stringify(body);
      return fetch(path, {
        method: "POST",
        body: text,
        headers: { "content-type": "application/json", ...headers },
      });
    },
    busy: async () => {
      const job = await queue.submit(await request({ width: 72, height: 72, steps: 150 }));
      for await (const event of queue.events(job.id)) if (event.type === "step") break;
      return job;
    },
    listen: () => listen(app, "127.0.0.1", 0),
    close: () => queue.close({ graceSeconds: 0 }),
  };
}

/** The tiny model's shape of a request that takes little time. */
export const quick = { prompt: "a red bicycle", width: 64, height: 64, steps: 2, seed: 7 };

export type SentEvent = { event: string; data: unknown; id: string | undefined };

/** The server-sent events of a response, read to its end. */
export async function eventsOf(response: Response): Promise<SentEvent[]> {
  const messages: EventSourceMessage[] = [];
  createParser({ onEvent: (message) => messages.push(message) }).feed(await response.text());
  return messages.map(({ event = "message", data, id }) => ({ event, data: JSON.parse(data), id }));
}
