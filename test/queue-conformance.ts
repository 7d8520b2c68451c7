/** @file Tests that every JobQueue must pass: the queue in memory and the one on Redis. */

import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { defaultLimits } from "../src/jobs/limits.js";
import { type ModelRegistry, openModelRegistry } from "../src/jobs/model-registry.js";
import { openProcessor } from "../src/jobs/pipeline-processor.js";
import type { JobProcessor, JobRequest } from "../src/jobs/processor.js";
import { Draining, type JobEvent, type JobQueue, QueueFull } from "../src/jobs/queue.js";
import { resolveRequest } from "../src/jobs/resolve-request.js";
import type { GenerationRequest } from "../src/jobs/schemas.js";
import { goldenModel } from "./serving.js";

export type QueueOptions = { most?: number; keepMs?: number };

/** A queue, and what closes its worker. */
export type OpenedQueue = { queue: JobQueue; close(): Promise<void> };

export async function tinyRequest(models: ModelRegistry, change: Partial<GenerationRequest> = {}) {
  const request = { prompt: "a red bicycle", steps: 2, guidanceScale: 3.5, seed: 7, ...change };
  return resolveRequest(request, models, defaultLimits);
}

export async function followed(queue: JobQueue, id: string): Promise<JobEvent[]> {
  const seen: JobEvent[] = [];
  for await (const event of queue.events(id)) seen.push(event);
  return seen;
}

export const jobsIn = (events: readonly JobEvent[]) =>
  events.flatMap((event) => (event.type === "state" ? [event.job] : []));
const states = (events: readonly JobEvent[]) => jobsIn(events).map(({ state }) => state);

/** States, each once: a new position repeats one. */
const changes = (events: readonly JobEvent[]) =>
  states(events).filter((state, i, all) => i === 0 || state !== all[i - 1]);

/** What the tests of a queue share. */
type Suite = {
  /** A new queue. */
  fresh(options?: QueueOptions): Promise<JobQueue>;
  request(change?: Partial<GenerationRequest>): Promise<JobRequest>;
  /** Starts a job that keeps the processor busy until it is cancelled. */
  busy(queue: JobQueue): Promise<string>;
  processor(): JobProcessor;
};

export function queueConformance(
  open: (processor: JobProcessor, models: ModelRegistry, options?: QueueOptions) => Promise<OpenedQueue>,
): void {
  let models: ModelRegistry;
  let processor: JobProcessor;
  const opened: OpenedQueue[] = [];
  beforeAll(async () => {
    models = await openModelRegistry([goldenModel]);
    processor = openProcessor(models, { threads: 1 });
  });
  afterAll(async () => {
    for (const { queue, close } of opened) {
      await queue.close({ graceSeconds: 0 });
      await close();
    }
    await processor.close();
  });
  const suite: Suite = {
    fresh: async (options) => {
      const one = await open(processor, models, options);
      opened.push(one);
      return one.queue;
    },
    request: (change) => tinyRequest(models, change),
    busy: async (queue) => {
      const { id } = await queue.submit(await suite.request({ width: 72, height: 72, steps: 150 }));
      for await (const event of queue.events(id)) if (event.type === "step") break;
      return id;
    },
    processor: () => processor,
  };
  describe("following a job", () => followingJobs(suite));
  describe("jobs that wait and run", () => waitingAndCancelling(suite));
  describe("what a queue remembers", () => remembering(suite));
  describe("what a queue refuses", () => refusing(suite));
}

function followingJobs({ fresh, request, busy, processor }: Suite): void {
  it("emits a job's states, steps, previews and images in order, and keeps the files", async () => {
    const queue = await fresh();
    const blocker = await busy(queue);
    const { id, state, position } = await queue.submit(await request({ previews: true, count: 2 }));
    expect({ state, position }).toEqual({ state: "queued", position: 1 });
    const following = followed(queue, id);
    await queue.cancel(blocker);
    const events = await following;
    expect(events[0]!.type).toBe("state");
    expect(changes(events)).toEqual(["queued", "running", "done"]);
    const indices = events.flatMap((event) => (event.type === "image" ? [event.image.index] : []));
    expect(indices.sort()).toEqual([0, 1]);
    for (const event of events)
      if (event.type === "preview") expect([...event.bytes.subarray(0, 2)]).toEqual([0xff, 0xd8]);
    const done = (await queue.get(id))!;
    expect(done).toEqual(jobsIn(events).at(-1));
    expect(done).toMatchObject({ id, state: "done", step: 4, total: 4, position: null, error: null });
    expect(done.images.map(({ seed }) => seed)).toEqual(["7", "8"]);
    const file = (await queue.image(id, 1))!;
    expect(file.mediaType).toBe("image/png");
    expect([...file.bytes.subarray(1, 4)]).toEqual([...Buffer.from("PNG")]);
    expect(await queue.image(id, 2)).toBeUndefined();
  });

  it("gives a late subscriber the end of the job, with its images", async () => {
    const queue = await fresh();
    const { id } = await queue.submit(await request());
    await followed(queue, id);
    const late = await followed(queue, id);
    expect(states(late)).toEqual(["done"]);
    expect(jobsIn(late)[0]!.images).toHaveLength(1);
  });

  it("gives the images that the processor alone gives, from an image and a mask too", async () => {
    const queue = await fresh();
    const image = await queueImage(queue, await request());
    const mask = await queueImage(queue, await request({ seed: 8 }));
    const change = { image: base64(image), mask: base64(mask), steps: 4, strength: 0.5 };
    const wanted = await request(change);
    expect(await queueImage(queue, wanted)).toEqual(await alone(processor(), wanted));
  });

  it("ends at once for an unknown job, and for any when the signal fires", async () => {
    const queue = await fresh();
    expect(await followed(queue, "00000000-0000-4000-8000-000000000000")).toEqual([]);
    const running = await busy(queue);
    const controller = new AbortController();
    for await (const event of queue.events(running, controller.signal))
      if (event.type === "step") controller.abort();
    expect((await queue.get(running))!.state).toBe("running");
    await queue.cancel(running);
  });
}

function waitingAndCancelling({ fresh, request, busy }: Suite): void {
  it("are numbered while they wait, and renumbered when one is cancelled", async () => {
    const queue = await fresh();
    const running = await busy(queue);
    const [one, two] = [await queue.submit(await request()), await queue.submit(await request({ steps: 3 }))];
    expect([one.position, two.position]).toEqual([1, 2]);
    expect(await queue.depth()).toEqual({ queued: 2, running: 1 });
    const events: JobEvent[] = [];
    const following = (async () => {
      for await (const event of queue.events(two.id)) events.push(event);
    })();
    await vi.waitFor(() => expect(events).toHaveLength(1));
    expect((await queue.cancel(one.id))!.state).toBe("cancelled");
    await vi.waitFor(() => expect(jobsIn(events).map(({ position }) => position)).toEqual([2, 1]));
    await queue.cancel(running);
    await following;
    expect(jobsIn(events).at(-1)).toMatchObject({ state: "done", position: null });
    expect((await queue.list()).map(({ id }) => id)).toEqual([two.id, one.id, running]);
  });

  it("are cancelled at once, or by the end of a running step; ended ones stay as they are", async () => {
    const queue = await fresh();
    const running = await busy(queue);
    const { id } = await queue.submit(await request());
    expect(await queue.cancel(id)).toMatchObject({ state: "cancelled", position: null });
    expect(await followed(queue, id)).toHaveLength(1);
    const following = followed(queue, running);
    expect(["running", "cancelled"]).toContain((await queue.cancel(running))!.state);
    expect(changes(await following).at(-1)).toBe("cancelled");
    const next = await queue.submit(await request());
    await followed(queue, next.id);
    expect((await queue.cancel(next.id))!.state).toBe("done");
    expect(await queue.cancel("00000000-0000-4000-8000-000000000000")).toBeUndefined();
  });

  it("are listed with their API, the way they were cancelled, and the last preview", async () => {
    const queue = await fresh();
    const wanted = await request({ width: 72, height: 72, steps: 150, previews: true });
    const { id } = await queue.submit(wanted, "a1111");
    await vi.waitFor(async () => expect(await queue.preview(id)).toBeDefined(), 20_000);
    expect([...(await queue.preview(id))!.subarray(0, 2)]).toEqual([0xff, 0xd8]);
    const waits = await queue.submit(await request());
    expect((await queue.live()).map((job) => [job.id, job.api])).toEqual([
      [id, "a1111"],
      [waits.id, null],
    ]);
    const following = followed(queue, id);
    expect((await queue.cancel(id, "interrupted"))!.stopped).toBe("interrupted");
    expect(jobsIn(await following).at(-1)).toMatchObject({ state: "cancelled", stopped: "interrupted" });
    expect(await queue.get(id)).toMatchObject({ state: "cancelled", stopped: "interrupted" });
    expect(await queue.preview(id)).toBeUndefined();
    await followed(queue, waits.id);
    expect(await queue.live()).toEqual([]);
    // What is over stays what it was.
    expect(await queue.cancel(waits.id, "skipped")).toMatchObject({ state: "done", stopped: null });
  });
}

function remembering({ fresh, request, busy }: Suite): void {
  it("is the latest two hundred jobs", async () => {
    const queue = await fresh({ most: 300 });
    const running = await busy(queue);
    const ids: string[] = [];
    for (let i = 0; i < 201; i++) ids.push((await queue.submit(await request())).id);
    expect((await queue.list()).map(({ id }) => id)).toEqual(ids.slice(1).reverse());
    for (const id of [...ids, running]) await queue.cancel(id);
  });

  it("is also small texts, for all servers of the queue", async () => {
    const queue = await fresh();
    expect(await queue.shared("constructor")).toBeUndefined();
    await queue.share("options", '{"a":"é"}');
    await queue.share("options", '{"b":1}');
    expect([await queue.shared("options"), await queue.shared("others")]).toEqual(['{"b":1}', undefined]);
  });

  it("is found by its id alone, not by what looks like one", async () => {
    const queue = await fresh();
    const { id } = await queue.submit(await request());
    await followed(queue, id);
    for (const wrong of ["", "*", `${id}:log`, `${id}:images`, `${id}:file:0`, `x${id}`, "__proto__"]) {
      expect(await queue.get(wrong)).toBeUndefined();
      expect(await queue.cancel(wrong)).toBeUndefined();
      expect(await queue.image(wrong, 0)).toBeUndefined();
      expect(await followed(queue, wrong)).toEqual([]);
    }
  });

  it("is forgotten after its time, images too", async () => {
    const queue = await fresh({ keepMs: 1000 });
    const { id } = await queue.submit(await request());
    await followed(queue, id);
    await vi.waitFor(async () => expect(await queue.get(id)).toBeUndefined(), { timeout: 20_000 });
    expect(await queue.image(id, 0)).toBeUndefined();
    expect(await queue.list()).toEqual([]);
  });
}

function refusing({ fresh, request, busy }: Suite): void {
  it("is more jobs than may wait, with the time to try again", async () => {
    const queue = await fresh({ most: 1 });
    const running = await busy(queue);
    const { id } = await queue.submit(await request());
    const refused: unknown = await queue.submit(await request()).catch((error: unknown) => error);
    expect(refused).toBeInstanceOf(QueueFull);
    expect((refused as QueueFull).retryAfterSeconds).toBeGreaterThanOrEqual(1);
    for (const each of [id, running]) await queue.cancel(each);
  });

  it("is said of a failed job, after which others are generated", async () => {
    const queue = await fresh();
    const broken = { ...(await request()), scheduler: { className: "None", overrides: {} } };
    const { id } = await queue.submit(broken);
    expect(states(await followed(queue, id)).at(-1)).toBe("failed");
    expect((await queue.get(id))!.error).toMatchObject({ code: "invalid_request", field: "className" });
    const next = await queue.submit(await request());
    expect(states(await followed(queue, next.id)).at(-1)).toBe("done");
  });

  it("is every job once it closes, while running ones finish", async () => {
    const queue = await fresh();
    const { id } = await queue.submit(await request({ steps: 20 }));
    const following = followed(queue, id);
    for await (const event of queue.events(id)) if (event.type === "step") break;
    const closing = queue.close({ graceSeconds: 60 });
    await expect(queue.submit(await request())).rejects.toBeInstanceOf(Draining);
    expect(await queue.health()).toEqual({ ok: false, reason: "stopping" });
    await closing;
    expect(states(await following).at(-1)).toBe("done");
  });
}

const base64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString("base64");

async function queueImage(queue: JobQueue, request: JobRequest): Promise<Uint8Array> {
  const { id } = await queue.submit(request);
  await followed(queue, id);
  return new Uint8Array((await queue.image(id, 0))!.bytes);
}

async function alone(processor: JobProcessor, request: JobRequest): Promise<Uint8Array> {
  const [events] = processor.process([{ request, signal: new AbortController().signal }]);
  for await (const event of events!) if (event.type === "image") return new Uint8Array(event.image.bytes);
  return expect.fail("no image came");
}
