/** @file What the routes of every API are given. */

import type { Aliases, ModelRegistry } from "../jobs/model-registry.js";
import type { JobQueue } from "../jobs/queue.js";
import type { Limits } from "../jobs/schemas.js";
import type { Bodies } from "./body.js";
import type { ClientTracker } from "./client-tracker.js";
import type { ImageTasks } from "./image-tasks.js";
import type { Metrics } from "./metrics.js";
import { notFound } from "./problem.js";

export type Service = {
  models: ModelRegistry;
  aliases: Aliases;
  limits: Limits;
  queue: JobQueue;
  clients: ClientTracker;
  bodies: Bodies;
  /** Reads the images of requests. */
  read: ImageTasks;
  metrics: Metrics;
  /** Told of what is a bug. */
  onError: (error: unknown) => void;
};

/** A finished image's file; Refused where there is none, or it was forgotten already. */
export async function imageFile(queue: JobQueue, id: string, index: number | undefined) {
  const file = index === undefined ? undefined : await queue.image(id, index);
  if (!file) throw notFound("image", `${id}/${index ?? "?"}`);
  return file;
}
