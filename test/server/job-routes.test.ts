/** @file The jobs API, without a socket. */

import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { decodeImage } from "../../src/image/codec.js";
import { readTexts } from "../../src/image/metadata/metadata.js";
import { defaultLimits } from "../../src/jobs/limits.js";
import { modelList } from "../../src/jobs/model-schemas.js";
import type { JobQueue } from "../../src/jobs/queue.js";
import {
  generationRequest,
  type Job,
  job,
  jobList,
  stepPredictions,
  wordMaps,
} from "../../src/jobs/schemas.js";
import { createApp } from "../../src/server/app.js";
import { imageTasks } from "../../src/server/image-tasks.js";
import { makeMetrics } from "../../src/server/metrics.js";
import { eventsOf, quick, type Stage, stage } from "../serving.js";

let at: Stage;
beforeAll(async () => {
  at = await stage({ limits: { bodyBytes: 100_000 } });
});
afterAll(() => at.close());

const submitted = async (change: object = {}): Promise<Job> =>
  job.parse(await (await at.post("/api/jobs", { ...quick, ...change })).json());

async function problemOf(response: Response) {
  return {
    status: response.status,
    ...((await response.json()) as { error: { field?: string; message: string } }).error,
  };
}

/** A body that says no length and does not end by itself. */
const endless = (): RequestInit => ({
  method: "POST",
  headers: { "content-type": "application/json" },
  body: new ReadableStream({ pull: (to) => to.enqueue(new Uint8Array(10_000).fill(0x20)) }),
  duplex: "half",
});

describe("a job", () => {
  it("keeps where each word of its prompt went, if it is asked to, and is refused where that is not one text", async () => {
    const { id, settings } = await submitted({ attentionMaps: true });
    expect(settings.attentionMaps).toBe(true);
    await eventsOf(await at.get(`/api/jobs/${id}/events`));
    const ended = job.parse(await (await at.get(`/api/jobs/${id}`)).json());
    const maps = wordMaps.parse(await (await at.get(ended.images[0]!.attentionUrl!)).json());
    expect(maps.words.map(({ word }) => word)).toEqual(["a", "red", "bicycle"]);
    expect([maps.rows, maps.columns]).toEqual([8, 8]);
    for (const { map, least, most } of maps.words) {
      const bytes = Buffer.from(map, "base64");
      expect([bytes.length, Math.min(...bytes), most > least]).toEqual([64, 0, true]);
      expect(Math.max(...bytes)).toBeGreaterThan(250);
    }
    const plain = await submitted();
    await eventsOf(await at.get(`/api/jobs/${plain.id}/events`));
    expect((await at.get(`/api/jobs/${plain.id}/images/0/attention`)).status).toBe(404);
    const composed = { prompt: "a cat AND a dog", promptSyntax: "a1111", attentionMaps: true };
    const { field, message } = await problemOf(await at.post("/api/jobs", { ...quick, ...composed }));
    expect([field, message]).toEqual(["attentionMaps", expect.stringContaining("composed by AND")]);
  });

  it("keeps what each step predicted, if it is asked to, for one image", async () => {
    const asked = { explainSteps: true, steps: 3, guidanceScale: 4 };
    const { id, settings } = await submitted(asked);
    expect(settings.explainSteps).toBe(true);
    await eventsOf(await at.get(`/api/jobs/${id}/events`));
    const ended = job.parse(await (await at.get(`/api/jobs/${id}`)).json());
    const found = stepPredictions.parse(await (await at.get(ended.images[0]!.stepsUrl!)).json());
    expect([found.total, found.steps.map(({ index }) => index)]).toEqual([3, [0, 1, 2]]);
    expect(found.noise.values).toBe(4 * 8 * 8);
    expect(Math.abs(found.noise.mean)).toBeLessThan(0.2);
    expect(found.noise.deviation).toBeCloseTo(1, 0);
    const pixelsOf = async (url: string) =>
      (await decodeImage(Buffer.from(url.slice("data:image/png;base64,".length), "base64"))).image;
    const file = await (await at.get(ended.images[0]!.url)).arrayBuffer();
    const { image } = await decodeImage(new Uint8Array(file));
    // The last step goes to no noise at all: what it predicts is the image.
    expect((await pixelsOf(found.steps[2]!.guided)).data).toEqual(image.data);
    const [first] = found.steps as [(typeof found.steps)[number]];
    expect(new Set([first.guided, first.prompt, first.negative, found.noise.image]).size).toBe(4);
    expect(first.difference).toBeGreaterThan(0);
    expect((await at.get(`/api/jobs/${id}/images/0/attention`)).status).toBe(404);
    const { field, message } = await problemOf(await at.post("/api/jobs", { ...quick, ...asked, count: 2 }));
    expect([field, message]).toEqual(["explainSteps", expect.stringContaining("got 2. Send a job for each")]);
  });

  it("is submitted, followed with previews, and its image fetched with its metadata", async () => {
    const answer = await at.post("/api/jobs", { ...quick, count: 2, previews: true });
    expect(answer.status).toBe(202);
    const { id } = job.parse(await answer.json());
    expect(answer.headers.get("location")).toBe(`/api/jobs/${id}`);
    const events = await eventsOf(await at.get(`/api/jobs/${id}/events`));
    const names = events.map(({ event }) => event);
    expect(names[0]).toBe("state");
    for (const name of ["step", "preview", "image"]) expect(names).toContain(name);
    expect(events.at(-1)).toMatchObject({ event: "state", id: "end", data: { state: "done" } });
    const done = job.parse(await (await at.get(`/api/jobs/${id}`)).json());
    expect(done.images.map(({ seed }) => seed)).toEqual(["7", "8"]);
    const file = await at.get(done.images[1]!.url);
    expect(file.headers.get("content-type")).toBe("image/png");
    const { record } = await readTexts(new Uint8Array(await file.arrayBuffer()));
    expect(JSON.parse(record!)).toMatchObject({
      seed: "8",
      model: { name: "koala-1b-tiny" },
      prompt: quick.prompt,
    });
  });

  it("answers an EventSource that comes back after the end with 204", async () => {
    const { id } = await submitted();
    await eventsOf(await at.get(`/api/jobs/${id}/events`));
    expect((await at.get(`/api/jobs/${id}/events`, { "last-event-id": "end" })).status).toBe(204);
    const again = await eventsOf(await at.get(`/api/jobs/${id}/events`));
    expect(again.map(({ event }) => event)).toEqual(["state"]);
  });

  it("is cancelled while it waits and while it runs, and then stays so", async () => {
    const busy = await at.busy();
    const waiting = await submitted();
    expect(waiting).toMatchObject({ state: "queued", position: 1 });
    const remove = async (id: string) =>
      job.parse(await (await at.app.request(`http://localhost/api/jobs/${id}`, { method: "DELETE" })).json());
    expect((await remove(waiting.id)).state).toBe("cancelled");
    await remove(busy.id);
    const events = await eventsOf(await at.get(`/api/jobs/${busy.id}/events`));
    expect(events.at(-1)!.data).toMatchObject({ state: "cancelled", images: [] });
    expect((await remove(busy.id)).state).toBe("cancelled");
  });

  it("begins with an image that was generated before, whose size it takes", async () => {
    const first = await submitted({ width: 72 });
    await eventsOf(await at.get(`/api/jobs/${first.id}/events`));
    const bytes = Buffer.from(await (await at.get(`/api/jobs/${first.id}/images/0`)).arrayBuffer());
    const image = bytes.toString("base64");
    const { prompt, seed } = quick;
    const answer = await at.post("/api/jobs", { prompt, seed, steps: 4, image, mask: image, strength: 0.5 });
    const { id, settings } = job.parse(await answer.json());
    expect(settings).toMatchObject({ width: 72, height: 64, strength: 0.5, masked: true });
    const events = await eventsOf(await at.get(`/api/jobs/${id}/events`));
    expect(events.at(-1)!.data).toMatchObject({ state: "done", step: 2, total: 2 });
  });

  it("says with the job and with its image what of the prompt is read as letters", async () => {
    const { id, warnings } = await submitted({ prompt: "a (cat:1.3)" });
    expect(warnings).toEqual([]);
    const done = job.parse((await eventsOf(await at.get(`/api/jobs/${id}/events`))).at(-1)!.data);
    expect(done.warnings).toEqual([expect.stringContaining('read as letters: "(cat:1.3)"')]);
    expect(done.images[0]!.warnings).toEqual(done.warnings);
  });

  it("draws a seed for -1, and takes the largest in 20 digits", async () => {
    const seeds = await Promise.all(
      [-1, "-1", "18446744073709551615", -2].map(async (seed) => (await submitted({ seed })).settings.seed),
    );
    expect(seeds.slice(2)).toEqual(["18446744073709551615", "18446744073709551614"]);
    expect(seeds[0]).not.toBe(seeds[1]);
    for (const drawn of seeds.slice(0, 2)) expect(Number(drawn)).toBeLessThan(2 ** 32);
  });

  it("is found in the list, latest first, and until its end among the unfinished, in their order", async () => {
    const [one, two] = [await submitted(), await submitted()];
    const { jobs } = jobList.parse(await (await at.get("/api/jobs")).json());
    expect(jobs.slice(0, 2).map(({ id }) => id)).toEqual([two.id, one.id]);
    const [running, waiting] = [await submitted({ steps: 150 }), await submitted({ steps: 149 })];
    const live = async () =>
      jobList.parse(await (await at.get("/api/jobs?unfinished=true")).json()).jobs.map(({ id }) => id);
    expect((await live()).slice(-2)).toEqual([running.id, waiting.id]);
    for (const { id } of [running, waiting])
      await at.app.request(`http://localhost/api/jobs/${id}`, { method: "DELETE" });
    await expect.poll(live).toEqual([]);
    expect((await at.get("/api/jobs?unfinished=yes")).status).toBe(422);
  });
});

describe("a request that breaks a rule", () => {
  it.each([
    [{}, "prompt", "must be text, got nothing"],
    [{ prompt: 5 }, "prompt", "must be text, got 5"],
    [{ prompt: "x", widht: 64 }, "widht", 'Did you mean "width"'],
    [{ prompt: "x", width: 60 }, "width", "Nearest: 56 or 64"],
    [{ prompt: "x", steps: 0 }, "steps", "must be at least 1, got 0"],
    [{ prompt: "x", steps: 151 }, "steps", "at most 150 on this server"],
    [{ prompt: "x", seed: "0x7" }, "seed", "must be a whole number"],
    [{ prompt: "x", seed: "18446744073709551616" }, "seed", "must be from -9223372036854775808 to"],
    [{ prompt: "x", outputFormat: "gif" }, "outputFormat", 'must be one of "png"'],
    [{ prompt: "x", model: "../../etc" }, "model", "must be one of"],
    [{ prompt: "x", image: "file:///etc/passwd" }, "image", "No address is fetched"],
    [{ prompt: "x", image: "/etc/passwd" }, "image", "must be a PNG, JPEG or WebP"],
  ])("%j is refused by the field's name", async (body, field, message) => {
    const problem = await problemOf(await at.post("/api/jobs", body));
    expect(problem).toMatchObject({ status: 422, field });
    expect(problem.message).toContain(message);
  });

  it("is one of: not JSON, not this type, too large, unknown job, wrong method", async () => {
    expect((await at.post("/api/jobs", "{")).status).toBe(400);
    expect((await at.post("/api/jobs", "{}", { "content-type": "text/plain" })).status).toBe(415);
    const large = await problemOf(await at.post("/api/jobs", { prompt: "x", image: "A".repeat(200_000) }));
    expect(large).toMatchObject({ status: 413, code: "too_large" });
    expect(large.message).toMatch(/^body: must be at most \d+ bytes on this server, got more/);
    expect((await at.app.request("http://localhost/api/jobs", endless())).status).toBe(413);
    expect((await at.get("/api/jobs/none")).status).toBe(404);
    expect((await at.get("/api/jobs/none/images/..%2f..%2f0")).status).toBe(404);
    const wrong = await at.app.request("http://localhost/api/jobs", { method: "PUT" });
    expect([wrong.status, wrong.headers.get("allow")]).toEqual([405, "GET, POST"]);
  });
});

describe("the server", () => {
  it("lists models with defaults that make a valid request", async () => {
    const { models } = modelList.parse(await (await at.get("/api/models")).json());
    expect(models[0]!.schedulers).toContain("dpmpp-2m-karras");
    const { id, defaults } = models[0]!;
    expect(generationRequest.safeParse({ prompt: "x", model: id, ...defaults }).success).toBe(true);
  });

  it("says that it is well, and counts", async () => {
    await eventsOf(await at.get(`/api/jobs/${(await submitted()).id}/events`));
    expect(await (await at.get("/healthz")).json()).toMatchObject({ status: "ok" });
    const text = await (await at.get("/metrics")).text();
    expect(text).toMatch(/koala_jobs_total\{state="done",model="koala-1b-tiny"\} \d/);
    expect(text).toMatch(/koala_queue_jobs\{state="queued"\} 0/);
    expect(text).toContain('route="/api/jobs/:id/events"');
  });

  it("describes every route in OpenAPI", async () => {
    const { paths } = (await (await at.get("/openapi.json")).json()) as { paths: object };
    for (const path of [
      "/api/jobs",
      "/v1/images/edits",
      "/sdapi/v1/txt2img",
      "/sdapi/v1/samplers",
      "/healthz",
    ])
      expect(paths).toHaveProperty([path]);
  });

  it("met no bug of its own", () => expect(at.errors).toEqual([]));
});

describe("a full queue", () => {
  it("answers 429 and when to come again", async () => {
    const full = await stage({ limits: { queue: 1 } });
    await full.busy();
    await full.post("/api/jobs", quick);
    for (const [path, body] of [
      ["/api/jobs", quick],
      ["/v1/images/generations", { prompt: "x" }],
      ["/sdapi/v1/txt2img", { prompt: "x" }],
    ] as const) {
      const refused = await full.post(path, body);
      expect(refused.status).toBe(429);
      expect(Number(refused.headers.get("retry-after"))).toBeGreaterThanOrEqual(1);
    }
    await full.close();
    expect((await full.post("/api/jobs", quick)).status).toBe(503);
    expect((await full.get("/healthz")).status).toBe(503);
  });
});

describe("a job's events", () => {
  it("come to many followers with every state and image, and with fewer steps than there are", async () => {
    const busy = await at.busy();
    const { id } = await submitted({ steps: 100 });
    const watch = () => at.get(`/api/jobs/${id}/events`);
    const streams = await Promise.all(Array.from({ length: 200 }, watch));
    await at.queue.cancel(busy.id);
    // As slow as followers can be: none reads before the end.
    await vi.waitFor(async () => expect((await at.queue.get(id))?.state).toBe("done"), 60_000);
    const names = (await Promise.all(streams.map(eventsOf))).map((events) =>
      events.map(({ event }) => event),
    );
    for (const seen of names) {
      expect(seen.filter((name) => name === "image")).toHaveLength(1);
      expect(seen.at(-1)).toBe("state");
    }
    expect(names.flat().filter((name) => name === "step").length).toBeLessThan(200 * 10);
  });

  it("are for a thousand followers at once, and for others when one of those leaves", async () => {
    const busy = await at.busy();
    const watch = () => at.get(`/api/jobs/${busy.id}/events`);
    const streams = await Promise.all(Array.from({ length: 1000 }, watch));
    // A stream is one when its first event is read.
    const readers = streams.map(({ body }) => body!.getReader());
    await Promise.all(readers.map((reader) => reader.read()));
    const refused = await watch();
    expect([refused.status, refused.headers.get("retry-after")]).toEqual([503, "5"]);
    await readers[0]!.cancel();
    await vi.waitFor(async () => {
      const another = await watch();
      expect(another.status).toBe(200);
      await another.body!.cancel();
    });
    await at.queue.cancel(busy.id);
    await Promise.all(readers.map((reader) => reader.cancel()));
  });

  it("end when the queue fails, and the log says why", async () => {
    const { id } = await submitted();
    const errors: unknown[] = [];
    const broken: JobQueue = {
      opened: async () => {},
      submit: (request) => at.queue.submit(request),
      get: (wanted) => at.queue.get(wanted),
      list: () => at.queue.list(),
      live: () => at.queue.live(),
      preview: (wanted) => at.queue.preview(wanted),
      shared: (name) => at.queue.shared(name),
      share: (name, text) => at.queue.share(name, text),
      cancel: (wanted) => at.queue.cancel(wanted),
      events: () => {
        throw new Error("it broke");
      },
      image: (wanted, index) => at.queue.image(wanted, index),
      depth: () => at.queue.depth(),
      health: () => at.queue.health(),
      close: async () => {},
    };
    const app = createApp({
      models: at.models,
      limits: defaultLimits,
      queue: broken,
      read: imageTasks,
      metrics: makeMetrics({ node: false }),
      guard: { host: "127.0.0.1" },
      onError: (error) => errors.push(error),
    });
    const events = await app.request(`http://localhost/api/jobs/${id}/events`);
    expect(await events.text()).toBe("");
    const streamed = await app.request("http://localhost/v1/images/generations", {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ prompt: "x", size: "64x64", steps: 1, stream: true }),
    });
    const [event] = await eventsOf(streamed);
    expect(event).toMatchObject({ event: "error", data: { error: { code: "internal" } } });
    expect(JSON.stringify(event)).not.toContain("it broke");
    expect(errors.map(String)).toEqual(["Error: it broke", "Error: it broke"]);
  });
});
