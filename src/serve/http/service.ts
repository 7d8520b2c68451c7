/** @file What the routes of every API are given. */

import type { Catalogue } from "../catalogue.js";
import type { JobQueue } from "../queue.js";
import type { Limits } from "../schemas.js";
import type { Audience } from "./audience.js";
import type { Metrics } from "./metrics.js";

export type Service = {
  catalogue: Catalogue;
  limits: Limits;
  queue: JobQueue;
  audience: Audience;
  metrics: Metrics;
};
