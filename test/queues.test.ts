/** @file Both queues, held to the same suite. */

import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, describe } from "vitest";
import { memoryQueue } from "../src/jobs/memory-queue.js";
import { redisQueue } from "../src/jobs/redis/queue.js";
import { JobWorker } from "../src/jobs/redis/worker.js";
import { queueConformance } from "./queue-conformance.js";
import { type RedisServer, startRedis } from "./redis-server.js";

describe("the queue in memory", () => {
  queueConformance(async (processor, _, options) => ({
    queue: memoryQueue(processor, options),
    close: async () => {},
  }));
});

describe("the queue on Redis, with a worker", () => {
  let redis: RedisServer;
  beforeAll(async () => {
    redis = await startRedis();
  });
  afterAll(() => redis.stop());

  queueConformance(async (processor, models, { most, keepMs } = {}) => {
    const prefix = `test-${randomUUID()}`;
    const keep = keepMs === undefined ? {} : { keepSeconds: keepMs / 1000 };
    const onError = (error: unknown) => console.error(error);
    const worker = new JobWorker(redis.url, processor, models, { prefix, ...keep, onError });
    await worker.start();
    const queue = await redisQueue(redis.url, { prefix, onError, ...keep, ...(most && { most }) });
    return { queue, close: () => worker.close({ graceSeconds: 0 }) };
  });
});
