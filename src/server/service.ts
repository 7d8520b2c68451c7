/** @file What the routes of all APIs use: models, limits, the queue, the clients. */

import type { Aliases, ModelRegistry } from "../jobs/model-registry.js";
import type { Limits } from "../jobs/model-schemas.js";
import type { JobQueue } from "../jobs/queue.js";
import type { Wildcards } from "../text/dynamic-prompts.js";
import type { Bodies } from "./body.js";
import type { ClientTracker } from "./client-tracker.js";
import type { ImageTasks } from "./image-tasks.js";
import type { Metrics } from "./metrics.js";
import { notFound } from "./problem.js";

export type Service = {
  models: ModelRegistry;
  aliases: Aliases;
  limits: Limits;
  /** The lines that dynamic prompts take. */
  wildcards?: Wildcards | undefined;
  queue: JobQueue;
  clients: ClientTracker;
  bodies: Bodies;
  /** Reads the images of requests. */
  read: ImageTasks;
  metrics: Metrics;
  /** Whether a proxy's X-Forwarded headers say where clients reach this server. */
  trustProxy: boolean;
  /** Called with bugs, for the log. */
  onError: (error: unknown) => void;
};

/** A finished image's file; HttpError where there is none, or it was forgotten already. */
export async function imageFile(queue: JobQueue, id: string, index: number | undefined) {
  const file = index === undefined ? undefined : await queue.image(id, index);
  if (!file) throw notFound("image", `${id}/${index ?? "?"}`);
  return file;
}
