/** @file What a JobQueue promises, whichever it is. */

import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { InvalidRequest } from "../errors.js";
import { type Catalogue, openCatalogue } from "./catalogue.js";
import { embeddedQueue } from "./embedded.js";
import { defaultLimits } from "./limits.js";
import type { Order, PainterService } from "./paint.js";
import { openPainter } from "./painter.js";
import { Draining, isOver, type JobEvent, type JobQueue, QueueFull } from "./queue.js";
import type { GenerationRequest } from "./schemas.js";
import { settle } from "./settle.js";

const folder = new URL("../../golden/data/pipelines/koala-1b-tiny", import.meta.url).pathname;
let catalogue: Catalogue;
let painter: PainterService;
beforeAll(async () => {
  catalogue = await openCatalogue([folder]);
  painter = openPainter(catalogue, { threads: 1 });
});
afterAll(() => painter.close());

const order = (change: Partial<GenerationRequest> = {}): Promise<Order> =>
  settle(
    { prompt: "a red bicycle", steps: 2, guidanceScale: 3.5, seed: 7, ...change },
    catalogue,
    defaultLimits,
  );

async function followed(queue: JobQueue, id: string): Promise<JobEvent[]> {
  const seen: JobEvent[] = [];
  for await (const event of queue.events(id)) seen.push(event);
  return seen;
}

const states = (events: readonly JobEvent[]) =>
  events.flatMap((event) => (event.type === "state" ? [event.job.state] : []));

/** A long job that keeps the painter busy. */
const long = () => order({ width: 72, height: 72, steps: 100 });

describe("the embedded queue", () => {
  it("tells a job's states, steps, previews and pictures, and keeps the files", async () => {
    const queue = embeddedQueue(painter);
    const { id, state, position } = await queue.submit(await order({ previews: true, count: 2 }));
    expect({ state, position }).toEqual({ state: "queued", position: 1 });
    const events = await followed(queue, id);
    expect(states(events)).toEqual(["queued", "running", "done"]);
    expect(events.filter(({ type }) => type === "image")).toHaveLength(2);
    const done = (await queue.get(id))!;
    expect(done).toMatchObject({ state: "done", step: 4, total: 4, position: null, error: null });
    expect(done.images.map(({ seed }) => seed)).toEqual(["7", "8"]);
    const file = (await queue.image(id, 1))!;
    expect(file.mediaType).toBe("image/png");
    expect([...file.bytes.subarray(1, 4)]).toEqual([...Buffer.from("PNG")]);
    expect(await queue.image(id, 2)).toBeUndefined();
    expect(states(await followed(queue, id))).toEqual(["done"]);
    await queue.close();
  });

  it("numbers those that wait, and renumbers them when one is cancelled", async () => {
    const queue = embeddedQueue(painter);
    const running = await queue.submit(await long());
    const [one, two] = [await queue.submit(await order()), await queue.submit(await order({ steps: 3 }))];
    const events = followed(queue, two.id);
    expect((await queue.cancel(one.id))!.state).toBe("cancelled");
    await queue.cancel(running.id);
    const positions = (await events).flatMap((event) => (event.type === "state" ? [event.job.position] : []));
    expect(positions.at(-1)).toBeNull();
    expect(positions.filter((p) => p !== null)).toEqual(
      [...positions.filter((p) => p !== null)].sort().reverse(),
    );
    expect((await queue.get(running.id))!.state).toBe("cancelled");
    expect((await queue.get(two.id))!.state).toBe("done");
    await queue.close();
  });

  it("paints what waits in one shape together, and each gets its own picture", async () => {
    const queue = embeddedQueue(painter);
    const jobs = [];
    for (const seed of [1, 2, 3]) jobs.push(await queue.submit(await order({ seed })));
    const ends = await Promise.all(jobs.map(({ id }) => followed(queue, id)));
    expect(ends.map((events) => states(events).at(-1))).toEqual(["done", "done", "done"]);
    const [first] = await Promise.all(jobs.map(({ id }) => queue.get(id)));
    expect(jobs.map(({ settings }) => settings.seed)).toEqual(["1", "2", "3"]);
    expect(first!.images[0]!.seed).toBe("1");
    await queue.close();
  });

  it("refuses more than may wait, and says when to come again", async () => {
    const queue = embeddedQueue(painter, { most: 1 });
    const running = await queue.submit(await long());
    for await (const event of queue.events(running.id)) if (event.type === "step") break;
    await queue.submit(await order());
    const refused = queue.submit(await order());
    await expect(refused).rejects.toBeInstanceOf(QueueFull);
    await refused.catch((error: QueueFull) => expect(error.retryAfterSeconds).toBeGreaterThanOrEqual(1));
    await queue.close({ graceSeconds: 0 });
  });

  it("finishes what runs within the grace when closed, cancels the rest and takes no more", async () => {
    const queue = embeddedQueue(painter);
    const [one, two] = [await queue.submit(await order({ steps: 4 })), await queue.submit(await long())];
    for await (const event of queue.events(one.id)) if (event.type === "step") break;
    await queue.close({ graceSeconds: 60 });
    expect((await queue.get(one.id))!.state).toBe("done");
    expect((await queue.get(two.id))!.state).toBe("cancelled");
    await expect(queue.submit(await order())).rejects.toBeInstanceOf(Draining);
    expect(await queue.health()).toEqual({ ok: false, reason: "stopping" });
  });

  it("says why a job failed, and goes on", async () => {
    const queue = embeddedQueue(painter);
    const broken = { ...(await order()), scheduler: { className: "None", overrides: {} } };
    const { id } = await queue.submit(broken);
    expect(states(await followed(queue, id)).at(-1)).toBe("failed");
    expect((await queue.get(id))!.error).toMatchObject({ code: "invalid_request", field: "className" });
    const next = await queue.submit(await order());
    expect(states(await followed(queue, next.id)).at(-1)).toBe("done");
    await queue.close();
  });

  it("forgets jobs after their time", async () => {
    const queue = embeddedQueue(painter, { keepMs: -1 });
    const { id } = await queue.submit(await order());
    const events = await followed(queue, id);
    expect(isOver((events.at(-1) as Extract<JobEvent, { type: "state" }>).job.state)).toBe(true);
    expect(await queue.get(id)).toBeUndefined();
    expect(await queue.list()).toEqual([]);
    await queue.close();
  });
});

describe("settling a request", () => {
  it("refuses what the model or this server does not allow, naming the field", async () => {
    const refused = async (change: Partial<GenerationRequest>, limits = defaultLimits) => {
      const settled = settle({ prompt: "x", ...change }, catalogue, limits);
      const error: InvalidRequest = await settled.then(
        () => expect.fail("it was taken"),
        (e) => e,
      );
      expect(error).toBeInstanceOf(InvalidRequest);
      return error.field;
    };
    expect(await refused({ width: 60 })).toBe("width");
    expect(await refused({ model: "none" })).toBe("model");
    expect(await refused({ scheduler: "eular" })).toBe("scheduler");
    expect(await refused({ strength: 0.5 })).toBe("strength");
    expect(await refused({ image: "http://169.254.169.254/latest" })).toBe("image");
    expect(await refused({ image: Buffer.from("<svg/>").toString("base64") })).toBe("image");
    expect(await refused({ steps: 200 })).toBe("steps");
    expect(await refused({ count: 9 }, { ...defaultLimits, count: 8 })).toBe("count");
    expect(await refused({ width: 4096, height: 4096 })).toBe("width");
  });

  it("fills in the model's defaults and draws a seed", async () => {
    const { settings } = await settle({ prompt: "x" }, catalogue, defaultLimits);
    expect(settings).toMatchObject({ width: 64, height: 64, guidanceScale: 5, scheduler: "euler", count: 1 });
    expect(settings.seed).toMatch(/^\d+$/);
  });
});
