/** @file A Redis that is full, read-only, or not there yet: clients get an error, running jobs end, and the queue recovers. */

import { spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { inspect } from "node:util";
import { Redis } from "ioredis";
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from "vitest";
import { InvalidRequest } from "../src/errors.js";
import { type ModelRegistry, openModelRegistry } from "../src/jobs/model-registry.js";
import { openProcessor } from "../src/jobs/pipeline-processor.js";
import type { BatchJob, JobProcessor, ProcessorEvent } from "../src/jobs/processor.js";
import { type JobQueue, QueueUnreachable } from "../src/jobs/queue.js";
import { redisQueue } from "../src/jobs/redis/queue.js";
import { JobStore } from "../src/jobs/redis/store.js";
import { JobWorker } from "../src/jobs/redis/worker.js";
import { type RunningServer, serve } from "../src/server/serve.js";
import { followed, jobsIn, tinyRequest } from "./queue-conformance.js";
import { freePort, type RedisServer, startRedis } from "./redis-server.js";
import { goldenModel } from "./serving.js";

let registry: ModelRegistry;
let redis: RedisServer;
let admin: Redis;
beforeAll(async () => {
  [registry, redis] = [await openModelRegistry([goldenModel]), await startRedis()];
  admin = new Redis(redis.url);
});
afterEach(empty);
afterAll(async () => {
  admin.disconnect();
  await redis.stop();
});

/** Leaves nothing free, with what is no job's. */
async function fill(): Promise<void> {
  await admin.set("foreign", "x".repeat(4_000_000));
  await admin.config("SET", "maxmemory", "2mb");
}
async function empty(): Promise<void> {
  await admin.config("SET", "maxmemory", "0");
  await admin.del("foreign");
}

const serveOver = (url: string, onOpen?: () => void): Promise<RunningServer> =>
  serve({ models: [], port: 0, redis: url, ...(onOpen && { onConnect: onOpen }), onError: () => {} });

const ask = async (server: RunningServer, path: string, body?: object) => {
  const answer = await fetch(server.url + path, {
    ...(body && {
      method: "POST",
      body: JSON.stringify(body),
      headers: { "content-type": "application/json" },
    }),
  });
  return { status: answer.status, retryAfter: answer.headers.get("retry-after"), text: await answer.text() };
};

/** A queue and a worker whose jobs' events are given one by one. */
async function slowly(use: (queue: JobQueue, give: (event?: ProcessorEvent) => void) => Promise<void>) {
  const prefix = `test-${randomUUID()}`;
  const given: (ProcessorEvent | undefined)[] = [];
  let wake = () => {};
  const generate = async function* ({ signal }: BatchJob) {
    for (;;) {
      while (given.length === 0) await new Promise<void>((resolve) => (wake = resolve));
      const event = given.shift();
      if (!event || signal.aborted) return;
      yield event;
    }
  };
  const models = [...registry.values()].map(({ info }) => info);
  const process: JobProcessor["process"] = (batch) => batch.map(generate);
  const processor: JobProcessor = { models, process, close: async () => {} };
  const worker = new JobWorker(redis.url, processor, registry, { prefix });
  await worker.start();
  const queue = await redisQueue(redis.url, { prefix });
  await use(queue, (event) => {
    given.push(event);
    wake();
  });
  await queue.close({ graceSeconds: 0 });
  await worker.close({ graceSeconds: 0 });
}
const step = (n: number): ProcessorEvent => ({ type: "step", step: n, total: 2, secondsLeft: 1 });
const image: ProcessorEvent = {
  type: "image",
  image: {
    index: 0,
    seed: "7",
    width: 64,
    height: 64,
    mediaType: "image/png",
    bytes: new Uint8Array(300_000),
  },
};
const running = async (queue: JobQueue, id: string) =>
  vi.waitFor(async () => expect((await queue.get(id))!.state).toBe("running"), 5000);

describe("a full Redis", () => {
  it("is answered with 503 and when to come again, by every API and by /healthz", async () => {
    const server = await serveOver(redis.url);
    const processor = openProcessor(registry, { threads: 1 });
    const worker = new JobWorker(redis.url, processor, registry);
    await worker.start();
    await vi.waitFor(async () => expect((await ask(server, "/api/models")).text).toContain("koala-1b-tiny"));
    await fill();
    for (const path of ["/api/jobs", "/v1/images/generations", "/sdapi/v1/txt2img"]) {
      const { status, retryAfter, text } = await ask(server, path, { prompt: "x" });
      expect(status).toBe(503);
      expect(Number(retryAfter)).toBeGreaterThan(0);
      expect(text).toContain(`got a Redis that is full (maxmemory). Send it again shortly.`);
    }
    expect(await ask(server, "/sdapi/v1/options", { CLIP_stop_at_last_layers: 2 })).toMatchObject({
      status: 503,
    });
    const health = await ask(server, "/healthz");
    expect(health.status).toBe(503);
    expect(JSON.parse(health.text).status).toMatch(/^a Redis that is full \(maxmemory\) at redis:/);
    expect((await ask(server, "/api/jobs")).status).toBe(200);
    await empty();
    expect((await ask(server, "/healthz")).status).toBe(200);
    expect(
      (await ask(server, "/v1/images/generations", { prompt: "x", size: "64x64", steps: 1 })).status,
    ).toBe(200);
    await worker.close();
    await processor.close();
    await server.close({ graceSeconds: 0 });
  });

  it("keeps a running job waiting for room for its images, which is then done", async () => {
    await slowly(async (queue, give) => {
      const { id } = await queue.submit(await tinyRequest(registry));
      const following = followed(queue, id);
      await running(queue, id);
      await fill();
      give(step(1));
      await vi.waitFor(async () => expect((await queue.get(id))!.step).toBe(1));
      give(image);
      // Longer than its lock lives by itself, which nobody can write now.
      await new Promise((resolve) => setTimeout(resolve, 9000));
      expect((await queue.get(id))!).toMatchObject({ state: "running", images: [] });
      await empty();
      give();
      const states = jobsIn(await following).map(({ state }) => state);
      expect(states).toEqual(["queued", "running", "done"].slice(-states.length));
      expect((await queue.image(id, 0))!.bytes.length).toBe(300_000);
    });
  });

  it("that stays full ends a running job with the reason, and lets others be cancelled", async () => {
    await slowly(async (queue, give) => {
      const { id } = await queue.submit(await tinyRequest(registry));
      // Of another shape, so that it waits.
      const waits = await queue.submit(await tinyRequest(registry, { steps: 3 }));
      await running(queue, id);
      await fill();
      expect((await queue.cancel(waits.id))!.state).toBe("cancelled");
      give(image);
      await vi.waitFor(async () => expect((await queue.get(id))!.state).toBe("failed"), 30_000);
      expect((await queue.get(id))!.error).toEqual({
        code: "unavailable",
        message:
          "queue: must have room for the job's images, got a Redis that is full (maxmemory). Try again later.",
      });
      await empty();
    });
  });

  it("that stays full lets a running job be cancelled", async () => {
    await slowly(async (queue, give) => {
      const { id } = await queue.submit(await tinyRequest(registry));
      await running(queue, id);
      await fill();
      await queue.cancel(id);
      give(step(1));
      give(step(2));
      await vi.waitFor(async () => expect((await queue.get(id))!.state).toBe("cancelled"), 5000);
      await empty();
    });
  });

  it("gets room from what ended longest ago, but for the last minute's", async () => {
    const store = new JobStore(admin, { prefix: `test-${randomUUID()}` });
    const request = await tinyRequest(registry);
    const limits = { most: 100, mostBytes: 2 ** 30 };
    const ended: string[] = [];
    for (let i = 0; i < 20; i++) {
      const id = randomUUID();
      await store.submit(id, request, limits);
      await store.begin(id, "worker/1");
      await store.report(id, "worker/1", image);
      await store.end(id, "worker/1", "done");
      // All but the last two ended long ago.
      if (i < 18) await admin.hset(store.key("job", id), "finishedAt", Date.now() - 61_000);
      ended.push(id);
    }
    const memory = /used_memory:(\d+)/.exec(await admin.info("memory"))![1]!;
    await admin.config("SET", "maxmemory", String(Number(memory) - 400_000));
    expect(await store.submit(randomUUID(), request, limits)).toBe("ok");
    const left = await Promise.all(ended.map(async (id) => (await store.read(id)) !== undefined));
    expect(left.filter(Boolean)).toHaveLength(12);
    expect(left.slice(-12).every(Boolean)).toBe(true);
    expect(await store.file(ended[0]!, 0)).toBeUndefined();
    expect(await admin.exists(`${store.key("job", ended[0]!)}:file:0`)).toBe(0);
    // What is left is not enough, whatever is dropped.
    await admin.config("SET", "maxmemory", "1mb");
    await expect(store.submit(randomUUID(), request, limits)).rejects.toThrow(/OOM/);
    expect(await store.read(ended.at(-1)!)).toBeDefined();
    expect(await store.read(ended.at(-3)!)).toBeUndefined();
    await empty();
  });
});

describe("a Redis that loses its data", () => {
  it("ends the requests that wait for its jobs, through every API", async () => {
    const port = await freePort();
    const first = await startRedis({ port });
    const server = await serve({ models: [goldenModel], port: 0, redis: first.url, onError: () => {} });
    const prompt = { prompt: "a red bicycle" };
    const { id } = JSON.parse((await ask(server, "/api/jobs", prompt)).text) as { id: string };
    const events = ask(server, `/api/jobs/${id}/events`);
    const answers = ["/v1/images/generations", "/sdapi/v1/txt2img"].map((path) => ask(server, path, prompt));
    await vi.waitFor(async () => expect(JSON.parse((await ask(server, "/healthz")).text).queued).toBe(3));
    await first.stop();
    const second = await startRedis({ port });
    for (const { status, text } of await Promise.all(answers)) {
      // 503 where the queue had not yet said that it took the job.
      expect([500, 503], text).toContain(status);
      expect(text).toMatch(/got a Redis that lost its data. Send (the request again|it again shortly)\./);
    }
    expect((await events).text).toMatch(/"state":"failed".*"code":"lost".*\nid: end\n\n$/);
    await server.close({ graceSeconds: 0 });
    await second.stop();
  });

  it("ends a job that runs as lost, at its client and at its worker", async () => {
    await slowly(async (queue, give) => {
      const { id } = await queue.submit(await tinyRequest(registry));
      const following = followed(queue, id);
      await running(queue, id);
      await admin.flushall();
      give(step(1));
      expect(jobsIn(await following).at(-1)).toMatchObject({ state: "failed", error: { code: "lost" } });
      give();
    });
  });
});

describe("a Redis that became a replica", () => {
  it("is reported as what it is, until it takes writes again", async () => {
    const queue = await redisQueue(redis.url);
    await admin.replicaof("127.0.0.1", "1");
    const refused: unknown = await queue.submit(await tinyRequest(registry)).catch((error: unknown) => error);
    expect(refused).toBeInstanceOf(QueueUnreachable);
    expect(String(refused)).toContain("got a replica, which takes no writes (READONLY)");
    expect(await queue.health()).toMatchObject({ ok: false, reason: expect.stringContaining("READONLY") });
    await admin.replicaof("NO", "ONE");
    expect(await queue.health()).toEqual({ ok: true });
    await queue.close({ graceSeconds: 0 });
  });
});

describe("a server that starts before its Redis", () => {
  it("says so at every address, and takes jobs when it comes", async () => {
    const port = await freePort();
    let opened = 0;
    const server = await serveOver(`redis://user:hunter2@127.0.0.1:${port}`, () => opened++);
    for (const [path, body] of [
      ["/api/models", undefined],
      ["/api/jobs", { prompt: "x" }],
      ["/v1/images/generations", { prompt: "x" }],
      ["/sdapi/v1/progress", undefined],
    ] as const) {
      const { status, text } = await ask(server, path, body);
      expect(status, path).toBe(503);
      expect(text).toContain(`queue: must take jobs at redis://127.0.0.1:${port}, got no answer.`);
      expect(text).not.toContain("hunter2");
    }
    expect(await ask(server, "/healthz")).toMatchObject({
      status: 503,
      text: expect.stringContaining("no answer"),
    });
    expect((await ask(server, "/metrics")).status).toBe(200);
    expect(opened).toBe(0);
    const late = await startRedis({ port, args: ["--user", "user", "on", ">hunter2", "~*", "&*", "+@all"] });
    await vi.waitFor(async () => expect((await ask(server, "/api/models")).status).toBe(200), 20_000);
    expect(opened).toBe(1);
    expect((await ask(server, "/healthz")).status).toBe(200);
    await server.close({ graceSeconds: 0 });
    await late.stop();
  });
});

describe("a Redis that will not have this server", () => {
  it("ends its start with the reason, and without its password", async () => {
    const locked = await startRedis({ args: ["--requirepass", "hunter2"] });
    for (const [url, reason] of [
      [`redis://127.0.0.1:${locked.port}`, /a Redis that asks for a password \(NOAUTH\)/],
      [`redis://:hunter3@127.0.0.1:${locked.port}`, /refuses the user or password \(WRONGPASS\)/],
      [`redis://:hunter2@127.0.0.1:${locked.port}/99`, /has no such database/],
    ] as const) {
      const processor: JobProcessor = { models: [], process: () => expect.fail(), close: async () => {} };
      for (const start of [() => serveOver(url), () => new JobWorker(url, processor, new Map()).start()]) {
        const refused: unknown = await start().then(
          () => expect.fail(url),
          (error: unknown) => error,
        );
        expect(refused).toBeInstanceOf(InvalidRequest);
        expect(String(refused)).toMatch(reason);
        expect(inspect(refused, { depth: 9 })).not.toContain("hunter");
      }
    }
    await locked.stop();
  });

  it("ends its start where another service answers at its address", async () => {
    const other = createServer((_, answer) => answer.end()).listen(0, "127.0.0.1");
    await once(other, "listening");
    const url = `redis://127.0.0.1:${(other.address() as AddressInfo).port}`;
    const processor: JobProcessor = { models: [], process: () => expect.fail(), close: async () => {} };
    const rule = `redis: must take jobs at ${url}, got an answer that is not Redis's. Correct the address.`;
    await expect(serveOver(url)).rejects.toThrow(rule);
    await expect(new JobWorker(url, processor, new Map()).start()).rejects.toThrow(rule);
    other.close();
  });

  it.each([["serve", "--port", "0"], ["worker"]])("ends koala %s there with exit code 2", async (...args) => {
    const other = createServer((_, answer) => answer.end()).listen(0, "127.0.0.1");
    await once(other, "listening");
    const url = `redis://127.0.0.1:${(other.address() as AddressInfo).port}`;
    const command = spawn(process.execPath, ["dist/cli/main.js", ...args, "--redis", url]);
    let stderr = "";
    command.stderr.on("data", (chunk) => {
      stderr += chunk;
    });
    const [code] = await once(command, "exit");
    other.close();
    expect(stderr).toContain(`error: --redis: must take jobs at ${url}, got an answer that is not Redis's.`);
    expect(code).toBe(2);
  });
});
