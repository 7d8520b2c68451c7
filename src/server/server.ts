/** @file `koala serve` as a function: models described, a queue, the app, a socket; and how all of it ends. */

import { isIP } from "node:net";
import { InvalidRequest } from "../errors.js";
import { type Listening, listen } from "../http/listen.js";
import { readPageFiles } from "../http/page-files.js";
import { defaultLimits } from "../jobs/limits.js";
import { memoryQueue } from "../jobs/memory-queue.js";
import {
  type Aliases,
  checkAliases,
  type ModelRegistry,
  type NamedLora,
  openModelRegistry,
} from "../jobs/model-registry.js";
import { processorThread } from "../jobs/processor-thread.js";
import type { OpenQueue } from "../jobs/queue.js";
import type { Limits } from "../jobs/schemas.js";
import { createApp } from "./app.js";
import type { GuardOptions } from "./guard.js";
import { imageThreads } from "./image-threads.js";
import { makeMetrics } from "./metrics.js";

export type ServeOptions = Omit<GuardOptions, "host"> & {
  /** Model folders; the first is the default. */
  models: readonly string[];
  /** Other names of models, beside those of OpenAI's that the first one has. */
  aliases?: Aliases;
  /** LoRAs that jobs may ask for; each must fit one of the models. */
  loras?: readonly NamedLora[];
  host?: string;
  port?: number;
  /** Listens beyond this machine without a key. */
  noAuth?: boolean;
  limits?: Partial<Limits>;
  /** Threads of one operation; one per core if left out. */
  threads?: number;
  /** Where jobs go instead of into this process. */
  openQueue?: OpenQueue;
  onError?: (error: unknown) => void;
  /** Told in a line of every request that is refused. */
  onRejected?: (line: string) => void;
};

export type Serving = {
  url: string;
  models: ModelRegistry;
  /** Takes no more jobs, lets what runs finish for so long, then ends. */
  close: (graceSeconds?: number) => Promise<void>;
};

/** Serves until closed. InvalidRequest for options that would open the machine, ModelError for a broken model. */
export async function serveModels(options: ServeOptions): Promise<Serving> {
  const { models, host = "127.0.0.1", port = 7860, key, noAuth = false, threads } = options;
  checkBinding(host, noAuth ? "none" : key);
  const { openQueue = embedded, aliases = new Map(), onError = () => {} } = options;
  const limits = { ...defaultLimits, ...options.limits };
  const own = await openModelRegistry(models, options.loras);
  const metrics = makeMetrics();
  const end = { onEnd: metrics.jobEnded, onError };
  const queueOptions = { limits, ...(threads !== undefined && { threads }), ...end };
  checkAliases(aliases, own, openQueue === embedded);
  const { queue, models: registry } = await openQueue(own, queueOptions);
  metrics.watch(queue);
  const { allowHosts = [], allowOrigins = [] } = options;
  const guard = { host, allowHosts, allowOrigins, ...(key !== undefined && !noAuth && { key }) };
  const read = imageThreads();
  const page = await readPageFiles("index.html");
  const told = { onError, ...(options.onRejected && { onRejected: options.onRejected }) };
  const app = createApp({ models: registry, aliases, limits, queue, read, metrics, guard, page, ...told });
  let listening: Listening;
  try {
    listening = await listen(app, host, port);
  } catch (error) {
    await queue.close({ graceSeconds: 0 });
    throw error;
  }
  return {
    url: listening.url,
    models: registry,
    close: async (graceSeconds = 30) => {
      // Still listening: those who wait get their images, newcomers are told that it is stopping.
      await queue.close({ graceSeconds });
      await listening.close();
      await read.close();
    },
  };
}

/** A server that others can reach needs a key. */
export function checkBinding(host: string, key: string | undefined): void {
  if (key === "") throw new InvalidRequest("--api-key", key, "must not be empty. Give a long random text.");
  if (isLoopback(host) || key !== undefined) return;
  const rule = `must be 127.0.0.1 or another address of this machine alone, got ${host}, which others can reach.`;
  throw new InvalidRequest("--host", host, `${rule} Set a key with --api-key, or say --no-auth.`);
}

function isLoopback(host: string): boolean {
  if (host === "localhost" || host === "::1") return true;
  return isIP(host) === 4 && host.startsWith("127.");
}

/** The default: jobs in this process, generated in a thread. */
const embedded: OpenQueue = async (models, { limits, threads, onEnd, onError }) => {
  const processor = processorThread(models, threads === undefined ? {} : { threads });
  const queue = memoryQueue(processor, { most: limits.queue, onEnd, onError, onClose: processor.close });
  return { queue, models: models };
};
