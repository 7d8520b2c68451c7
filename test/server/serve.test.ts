/** @file The whole server on a socket, generating in its thread: clients that hang up, its start and its end. */

import { cp, mkdtemp, rm, truncate } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { InvalidRequest, ModelError } from "../../src/errors.js";
import type { Job } from "../../src/jobs/schemas.js";
import { type RunningServer, serve } from "../../src/server.js";
import { quick, tinyModel } from "../serving.js";

let server: RunningServer;
beforeAll(async () => {
  server = await serve({ models: [tinyModel], port: 0, threads: 1 });
});
afterAll(() => server.close({ graceSeconds: 0 }));

const long = { ...quick, width: 72, height: 72, steps: 150 };
const send = (path: string, body: object, signal?: AbortSignal) =>
  fetch(server.url + path, {
    method: "POST",
    body: JSON.stringify(body),
    headers: { "content-type": "application/json" },
    ...(signal && { signal }),
  });
const jobOf = async (id: string): Promise<Job> =>
  (await (await fetch(`${server.url}/api/jobs/${id}`)).json()) as Job;
const cancel = (id: string) => fetch(`${server.url}/api/jobs/${id}`, { method: "DELETE" });

/** Asks until a job is as it should be. */
async function until(id: string, wanted: (job: Job) => boolean): Promise<Job> {
  for (;;) {
    const job = await jobOf(id);
    if (wanted(job)) return job;
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

/** The job of a request that waits for its answer, once it runs. */
async function running(seed: number): Promise<Job> {
  for (;;) {
    const { jobs } = (await (await fetch(`${server.url}/api/jobs`)).json()) as { jobs: Job[] };
    const found = jobs.find(({ settings, state }) => settings.seed === String(seed) && state === "running");
    if (found) return found;
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

const openai = (seed: number, signal: AbortSignal) =>
  send("/v1/images/generations", { prompt: "x", size: "72x72", steps: 150, seed }, signal).catch(
    () => undefined,
  );

describe("a client that hangs up", () => {
  it("cancels what only it waits for", async () => {
    const controller = new AbortController();
    const call = openai(1, controller.signal);
    const { id } = await running(1);
    controller.abort();
    await call;
    expect((await until(id, ({ state }) => state !== "running")).state).toBe("cancelled");
  });

  it("leaves alone what somebody else follows, until that one leaves too", async () => {
    const [caller, follower] = [new AbortController(), new AbortController()];
    const call = openai(2, caller.signal);
    const { id } = await running(2);
    const events = await fetch(`${server.url}/api/jobs/${id}/events`, { signal: follower.signal });
    await events.body!.getReader().read();
    const { step } = await jobOf(id);
    caller.abort();
    await call;
    expect((await until(id, (job) => job.step > step + 3 || job.state !== "running")).state).toBe("running");
    follower.abort();
    expect((await until(id, ({ state }) => state !== "running")).state).toBe("cancelled");
  });

  it("does not cancel a submitted job when its events are left", async () => {
    const { id } = (await (await send("/api/jobs", long)).json()) as Job;
    const follower = new AbortController();
    const events = await fetch(`${server.url}/api/jobs/${id}/events`, { signal: follower.signal });
    await events.body!.getReader().read();
    const { step } = await jobOf(id);
    follower.abort();
    expect((await until(id, (job) => job.step > step + 3 || job.state !== "running")).state).toBe("running");
    await cancel(id);
    await until(id, ({ state }) => state === "cancelled");
  });
});

describe("a server", () => {
  it("answers while it generates", async () => {
    const { id } = (await (await send("/api/jobs", long)).json()) as Job;
    await until(id, ({ state }) => state === "running");
    for (let i = 0; i < 20; i++) expect((await fetch(`${server.url}/healthz`)).status).toBe(200);
    expect((await jobOf(id)).state).toBe("running");
    await cancel(id);
  });

  it("lets running jobs finish when it is stopped, and answers waiting clients", async () => {
    const other = await serve({ models: [tinyModel], port: 0, threads: 1 });
    const post = (path: string, body: object) =>
      fetch(other.url + path, {
        method: "POST",
        body: JSON.stringify(body),
        headers: { "content-type": "application/json" },
      });
    const first = post("/v1/images/generations", { prompt: "x", size: "64x64", steps: 150, seed: 5 });
    for (let runs = 0; runs === 0; )
      runs = ((await (await fetch(`${other.url}/healthz`)).json()) as { running: number }).running;
    const second = post("/v1/images/generations", { prompt: "x", size: "72x64", steps: 30 });
    for (let waits = 0; waits === 0; )
      waits = ((await (await fetch(`${other.url}/healthz`)).json()) as { queued: number }).queued;
    const closed = other.close({ graceSeconds: 60 });
    expect((await first).status).toBe(200);
    expect((await second).status).toBe(503);
    await closed;
    await expect(fetch(other.url)).rejects.toThrow();
  });

  it("serves the bundled model where none is named, and ends with its block", async () => {
    let url = "";
    {
      await using bundled = await serve({ port: 0, aliases: { "gpt-image-1": "nano" } });
      ({ url } = bundled);
      expect(bundled.models.map(({ id }) => id)).toEqual(["nano"]);
      expect((await fetch(`${url}/v1/models/gpt-image-1`)).status).toBe(200);
    }
    await expect(fetch(url)).rejects.toThrow();
  });

  it("names no folder of a model that broke after the start to clients, but in the log", async () => {
    const folder = path.join(await mkdtemp(path.join(tmpdir(), "koala-broken-")), "tiny");
    await cp(tinyModel, folder, { recursive: true, dereference: true });
    const errors: unknown[] = [];
    const onError = (error: unknown) => errors.push(error);
    const other = await serve({ models: [folder], port: 0, threads: 1, onError });
    const weights = path.join(folder, "unet", "diffusion_pytorch_model.safetensors");
    await truncate(weights, 5000);
    const ask = () =>
      fetch(`${other.url}/v1/images/generations`, {
        method: "POST",
        body: JSON.stringify({ prompt: "x", size: "64x64", steps: 1 }),
        headers: { "content-type": "application/json" },
      });
    const answer = await ask();
    expect(answer.status).toBe(500);
    const said = (await answer.text()) + (await (await fetch(`${other.url}/api/jobs`)).text());
    expect(said).toContain("unet/diffusion_pytorch_model.safetensors: header must end");
    expect(said).not.toContain(path.dirname(folder));
    expect(errors.map(String).join()).toContain(folder);
    await cp(path.join(tinyModel, "unet", path.basename(weights)), weights);
    expect((await ask()).status).toBe(200);
    await other.close({ graceSeconds: 0 });
    await rm(path.dirname(folder), { recursive: true });
  });

  it("is not started for a port in use, a broken model, limits that refuse all, or others without a key", async () => {
    const taken = createServer().listen(0, "127.0.0.1");
    await new Promise((resolve) => taken.once("listening", resolve));
    const { port } = taken.address() as { port: number };
    await expect(serve({ models: [tinyModel], port })).rejects.toThrow(/^port: must be free/);
    taken.close();
    const misspelt = { ...{ models: [tinyModel], port: 0 }, api_key: "x" };
    await expect(serve(misspelt)).rejects.toThrow(/^api_key: .* serve\. Did you mean "apiKey"\?/);
    const limits = { maxSteps: 5 } as object;
    await expect(serve({ models: [tinyModel], port: 0, limits })).rejects.toThrow(/^maxSteps: .* of limits/);
    for (const none of [{ steps: 0 }, { bodyBytes: 0 }, { pixels: 63 }, { count: 1.5 }, { queue: -1 }])
      await expect(serve({ models: [tinyModel], port: 0, limits: none })).rejects.toThrow(
        /^limits\.\w+: must be a whole number of at least \d+, got .*\. Every request would be refused\./,
      );
    await expect(serve({ models: ["/nowhere"], port: 0 })).rejects.toThrow(/^model: must be a folder/);
    await expect(serve({ models: [tmpdir()], port: 0 })).rejects.toBeInstanceOf(ModelError);
    await expect(serve({ models: [tinyModel, tinyModel], port: 0 })).rejects.toBeInstanceOf(InvalidRequest);
    await expect(serve({ models: [tinyModel], port: 0, host: "0.0.0.0" })).rejects.toThrow(/Set apiKey/);
    const overRedis = serve({ redis: "redis://127.0.0.1:1", threads: 1, port: 0 });
    await expect(overRedis).rejects.toThrow(
      /^threads: must be left out with redis.* Give it to koala worker\.$/,
    );
  });
});
