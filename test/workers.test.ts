/** @file Workers in processes of their own: killed, stopped, and sent jobs of models that they do not have. */

import { randomUUID } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { EngineError } from "../src/errors.js";
import { Channel } from "../src/jobs/channel.js";
import { type ModelRegistry, openModelRegistry } from "../src/jobs/model-registry.js";
import { openProcessor } from "../src/jobs/pipeline-processor.js";
import type { JobProcessor, ProcessorEvent } from "../src/jobs/processor.js";
import { isOver, type JobEvent, type JobQueue, QueueUnreachable } from "../src/jobs/queue.js";
import { redisQueue } from "../src/jobs/redis/queue.js";
import { JobWorker } from "../src/jobs/redis/worker.js";
import { followed, jobsIn, tinyRequest } from "./queue-conformance.js";
import { type RedisServer, startRedis } from "./redis-server.js";
import { tinyModel } from "./serving.js";
import { startWorker, type WorkerProcess } from "./worker-process.js";

const otherModel = new URL("../golden/data/pipelines/sdxl-tiny", import.meta.url).pathname;
let redis: RedisServer;
let registry: ModelRegistry;
beforeAll(async () => {
  [redis, registry] = [await startRedis(), await openModelRegistry([tinyModel, otherModel])];
});
afterAll(() => redis.stop());

const workers: WorkerProcess[] = [];
const started = (model = tinyModel, ...args: string[]): WorkerProcess => {
  const worker = startWorker(redis.url, model, ...args);
  workers.push(worker);
  return worker;
};
afterAll(() => Promise.all(workers.map((worker) => worker.kill("SIGKILL"))));

/** Numbers between 0 and 1, the same ones in every run. */
function random(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}
const wait = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

const beginnings = (events: readonly JobEvent[]): number =>
  new Set(jobsIn(events).flatMap(({ startedAt }) => startedAt ?? [])).size;

async function firstStep(queue: JobQueue, id: string): Promise<void> {
  for await (const event of queue.events(id)) if (event.type === "step") return;
}

const images = (events: readonly JobEvent[]) =>
  events.flatMap((event) => (event.type === "image" ? [event.image.index] : []));

describe("three workers of which one is killed three times", () => {
  it("end every one of 200 jobs once: cancelled where a client said so in time, and done where not", {
    timeout: 300_000,
  }, async () => {
    const queue = await redisQueue(redis.url, { most: 200, onError: (error) => console.error(error) });
    const next = random(7);
    const jobs = await Promise.all(
      Array.from({ length: 200 }, async (_, seed) =>
        queue.submit(
          await tinyRequest(registry, {
            steps: seed === 0 ? 150 : 1 + (seed % 4),
            seed,
            count: 1 + (seed % 2),
          }),
        ),
      ),
    );
    const following = jobs.map(({ id }) => followed(queue, id));

    // The first death is in the middle of a job for certain, the others wherever they fall.
    const alive = [started()];
    await firstStep(queue, jobs[0]!.id);
    alive.push(started(), started());
    const cancelStates = new Map<string, string>();
    const left = jobs.slice(1).map(({ id }) => id);
    const cancelling = (async () => {
      for (let i = 0; i < 50; i++) {
        const [id] = left.splice(Math.floor(next() * left.length), 1);
        cancelStates.set(id!, (await queue.cancel(id!))!.state);
        await wait(next() * 100);
      }
    })();
    for (let i = 0; i < 3; i++) {
      await alive[i]!.ready;
      await alive[i]!.kill("SIGKILL");
      alive[i] = started();
      const fewer = Math.max(1, (await queue.depth()).queued);
      await vi.waitFor(async () => expect((await queue.depth()).queued).toBeLessThan(fewer), 60_000);
    }
    await cancelling;

    const ends = await Promise.all(following);
    expect(
      ends.filter((events) => beginnings(events) > 1),
      "begun again",
    ).not.toHaveLength(0);
    for (const [i, { id, settings }] of jobs.entries()) {
      const states = jobsIn(ends[i]!).map(({ state }) => state);
      const cancelled = cancelStates.has(id) && cancelStates.get(id) !== "done";
      expect(states.filter(isOver), `job ${i}`).toEqual([cancelled ? "cancelled" : "done"]);
      expect(new Set(images(ends[i]!)).size, `images of job ${i}`).toBe(images(ends[i]!).length);
      if (cancelled) continue;
      expect(images(ends[i]!)).toHaveLength(settings.count);
      expect((await queue.image(id, settings.count - 1))!.bytes.length).toBeGreaterThan(100);
    }
    expect(cancelStates.size).toBe(50);
    expect(await queue.depth()).toEqual({ queued: 0, running: 0 });
    await queue.close({ graceSeconds: 0 });
    await Promise.all(alive.map((worker) => worker.kill("SIGTERM")));
  });
});

describe("a worker", () => {
  let queue: JobQueue;
  beforeAll(async () => {
    queue = await redisQueue(redis.url);
  });
  afterAll(() => queue.close({ graceSeconds: 0 }));

  const running = async (steps: number): Promise<{ id: string; following: Promise<JobEvent[]> }> => {
    const { id } = await queue.submit(await tinyRequest(registry, { width: 72, height: 72, steps }));
    const following = followed(queue, id);
    await firstStep(queue, id);
    return { id, following };
  };

  it("that is stopped hands its running job to another, and ends well", async () => {
    const worker = started(tinyModel, "--grace", "0");
    const { following } = await running(150);
    const code = worker.kill("SIGTERM");
    await vi.waitFor(() => expect(worker.said).toContain("released"), 20_000);
    expect(await code).toBe(0);
    const other = started();
    const states = jobsIn(await following).map(({ state }) => state);
    expect(states.filter((state, i) => state !== states[i - 1])).toEqual([
      "queued",
      "running",
      "queued",
      "running",
      "done",
    ]);
    await other.kill("SIGTERM");
  });

  it("that is stopped with time left finishes its running job", async () => {
    const worker = started();
    const { following } = await running(20);
    expect(await worker.kill("SIGTERM")).toBe(0);
    expect(worker.said).toMatch(/ done\n/);
    expect(jobsIn(await following).at(-1)!.state).toBe("done");
  });

  it("leaves a job of a model that it does not have to one that does", async () => {
    const worker = started();
    const request = { ...(await tinyRequest(registry, { model: "sdxl-tiny", steps: 1 })) };
    const foreign = await queue.submit(request);
    const own = await queue.submit(await tinyRequest(registry, { steps: 1 }));
    await followed(queue, own.id);
    expect((await queue.get(foreign.id))!).toMatchObject({ state: "queued", position: 1 });
    const other = started(otherModel);
    expect(jobsIn(await followed(queue, foreign.id)).at(-1)!.state).toBe("done");
    await Promise.all([worker, other].map((each) => each.kill("SIGTERM")));
  });

  it("that died with a job which was cancelled leaves it cancelled, though no other comes", async () => {
    const worker = started();
    const { id, following } = await running(150);
    await worker.kill("SIGKILL");
    expect((await queue.cancel(id))!.state).toBe("running");
    expect(jobsIn(await following).at(-1)!.state).toBe("cancelled");
  });
});

describe("an outage of Redis", () => {
  it("is reported while it lasts; jobs, their workers and who follows them go on after it", async () => {
    const folder = await mkdtemp(path.join(tmpdir(), "koala-redis-"));
    const before = await startRedis({ folder });
    const worker = startWorker(before.url, tinyModel);
    workers.push(worker);
    const queue = await redisQueue(before.url);
    const { id } = await queue.submit(await tinyRequest(registry, { steps: 100 }));
    const following = followed(queue, id);
    await firstStep(queue, id);
    await before.stop();
    await expect(queue.submit(await tinyRequest(registry))).rejects.toBeInstanceOf(QueueUnreachable);
    expect(await queue.health()).toMatchObject({ ok: false });
    const after = await startRedis({ folder, port: before.port });
    const events = await following;
    expect(jobsIn(events).at(-1)!.state).toBe("done");
    expect(images(events)).toEqual([0]);
    expect(await queue.health()).toEqual({ ok: true });
    await queue.close({ graceSeconds: 0 });
    await worker.kill("SIGTERM");
    await after.stop();
    await rm(folder, { recursive: true });
  });
});

describe("the batches of a worker", () => {
  /** A worker that notes the seeds of each batch, and a queue of its own. */
  async function watched() {
    const prefix = `test-${randomUUID()}`;
    const queue = await redisQueue(redis.url, { prefix });
    const processor = openProcessor(registry, { threads: 1 });
    const batches: string[][] = [];
    const process: JobProcessor["process"] = (batch) => {
      batches.push(batch.map(({ request }) => request.settings.seed));
      return processor.process(batch);
    };
    const worker = new JobWorker(redis.url, { ...processor, process }, registry, { prefix });
    const close = async () => {
      await queue.close({ graceSeconds: 0 });
      await worker.close();
      await processor.close();
    };
    return { queue, worker, batches, close };
  }

  it("hold the jobs of one shape as long as the next one fits, each with its own image", async () => {
    const { queue, worker, batches, close } = await watched();
    const jobs = [];
    for (const [seed, steps] of [1, 1, 1, 2, 1].entries())
      jobs.push(await queue.submit(await tinyRequest(registry, { seed, steps })));
    await worker.start();
    for (const { id, settings } of jobs)
      expect(jobsIn(await followed(queue, id)).at(-1)).toMatchObject({
        state: "done",
        images: [{ seed: settings.seed }],
      });
    expect(batches).toEqual([["0", "1", "2"], ["3"], ["4"]]);
    await close();
  });

  it("hold 8 equal jobs that wait, in each of 12 rounds", { timeout: 60_000 }, async () => {
    const { queue, worker, batches, close } = await watched();
    await worker.start();
    const seeds = [...Array(8).keys()].map(String);
    for (let round = 0; round < 12; round++) {
      const other = await tinyRequest(registry, { width: 72, height: 72, steps: 150, seed: 100 });
      const running = await queue.submit(other);
      await firstStep(queue, running.id);
      const jobs = [];
      for (const seed of seeds)
        jobs.push(await queue.submit(await tinyRequest(registry, { seed: Number(seed), steps: 1 })));
      await queue.cancel(running.id);
      await Promise.all(jobs.map(({ id }) => followed(queue, id)));
    }
    expect(batches).toEqual(Array.from({ length: 12 }, () => [["100"], seeds]).flat());
    await close();
  });
});

describe("a job that fails", () => {
  const withProcessor = async (
    generate: JobProcessor["process"],
    use: (queue: JobQueue) => Promise<void>,
  ): Promise<void> => {
    const prefix = `test-${randomUUID()}`;
    const models = [...registry.values()].map(({ info }) => info);
    const worker = new JobWorker(redis.url, { models, process: generate, close: async () => {} }, registry, {
      prefix,
    });
    await worker.start();
    const queue = await redisQueue(redis.url, { prefix });
    await use(queue);
    await queue.close({ graceSeconds: 0 });
    await worker.close();
  };

  const outOfMemory: JobProcessor["process"] = (batch) =>
    batch.map(() => {
      const events = new Channel<ProcessorEvent>();
      events.end({ error: new EngineError("unet", new Error("out of memory")) });
      return events;
    });

  it("for the machine's sake is tried again, and done", async () => {
    const processor = openProcessor(registry, { threads: 1 });
    let tries = 0;
    const failsOnce: JobProcessor["process"] = (batch) =>
      (tries++ === 0 ? outOfMemory : processor.process)(batch);
    await withProcessor(failsOnce, async (queue) => {
      const { id } = await queue.submit(await tinyRequest(registry, { steps: 1 }));
      const states = jobsIn(await followed(queue, id)).map(({ state }) => state);
      expect(states.filter(isOver)).toEqual(["done"]);
      expect(tries).toBe(2);
    });
    await processor.close();
  });

  it("every time says why after the third", async () => {
    let tries = 0;
    const fails: JobProcessor["process"] = (batch) => {
      tries++;
      return outOfMemory(batch);
    };
    await withProcessor(fails, async (queue) => {
      const { id } = await queue.submit(await tinyRequest(registry, { steps: 1 }));
      expect(jobsIn(await followed(queue, id)).at(-1)).toMatchObject({
        state: "failed",
        error: { code: "engine_error", message: "unet: out of memory" },
      });
      expect(tries).toBe(3);
    });
  });
});
