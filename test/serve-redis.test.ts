/** @file Servers that leave generating to workers: nothing of a model on their own machine, and one is as good as another. */

import OpenAI from "openai";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import type { ModelList } from "../src/jobs/model-schemas.js";
import { outageOf } from "../src/jobs/redis/outage.js";
import type { Job, JobList } from "../src/jobs/schemas.js";
import { type RunningServer, serve } from "../src/server/serve.js";
import { goldenRun } from "./golden-run.js";
import { type RedisServer, startRedis } from "./redis-server.js";
import { eventsOf, tinyLora } from "./serving.js";
import { startWorker, type WorkerProcess } from "./worker-process.js";

let redis: RedisServer;
let servers: RunningServer[];
let worker: WorkerProcess | undefined;
beforeAll(async () => {
  redis = await startRedis();
  servers = await Promise.all([0, 1].map(() => serveOver(redis.url)));
});
afterAll(async () => {
  await Promise.all(servers.map(({ close }) => close({ graceSeconds: 0 })));
  await worker?.kill("SIGKILL");
  await redis.stop();
});

const inverted = "koala-1b-tiny/ti-both-eos-pooled";

const serveOver = (url: string): Promise<RunningServer> =>
  serve({
    models: [],
    port: 0,
    redis: url,
    onError: (error) => outageOf(error) ?? console.error(error),
  });

const ask = async <T>(
  server: RunningServer,
  path: string,
  body?: object,
): Promise<{ status: number; body: T }> => {
  const answer = await fetch(`${server.url}${path}`, {
    ...(body && {
      method: "POST",
      body: JSON.stringify(body),
      headers: { "content-type": "application/json" },
    }),
  });
  return { status: answer.status, body: (await answer.json()) as T };
};

/** By its seed, which its client chose; from the server that did not take it. */
async function jobOfSeed(seed: string): Promise<Job> {
  const { body } = await ask<JobList>(servers[1]!, "/api/jobs");
  return body.jobs.find(({ settings }) => settings.seed === seed) ?? expect.fail(`no job of seed ${seed}`);
}

describe("two servers over one Redis", () => {
  it("say that there is nothing to generate with before a worker comes, and start all the same", async () => {
    const { body } = await ask<ModelList>(servers[0]!, "/api/models");
    expect(body.models).toEqual([]);
    const refused = await ask<object>(servers[0]!, "/api/jobs", { prompt: "a red bicycle" });
    expect(refused).toMatchObject({ status: 422, body: { error: { field: "model" } } });
    expect((await ask<object>(servers[0]!, "/sdapi/v1/options")).body).toMatchObject({
      sd_model_checkpoint: null,
    });
    expect((await ask(servers[0]!, "/healthz")).status).toBe(200);
  });

  it("offer a worker's model with its defaults, schedulers, LoRAs and embeddings, and check requests by it", async () => {
    const { model, embeddings } = goldenRun(inverted);
    const named = embeddings.flatMap(({ token, file }) => ["--embedding", `${token}=${file}`]);
    const added = ["--lora", `bicycles=${tinyLora.file}:0.5`, ...named];
    worker = startWorker(redis.url, model, ...added);
    await vi.waitFor(async () => {
      const { body } = await ask<ModelList>(servers[1]!, "/api/models");
      expect(body.models.map(({ id }) => id)).toEqual(["koala-1b-tiny"]);
    }, 20_000);
    const loras = [{ name: "bicycles", ...tinyLora, scale: 0.5 }];
    const local = await serve({ models: [model], loras, embeddings, port: 0 });
    const [there, here] = [await ask(servers[1]!, "/api/models"), await ask(local, "/api/models")];
    expect(there).toEqual(here);
    for (const wrong of [{ scheduler: "eular" }, { lora: [{ name: "boats" }] }]) {
      const request = { prompt: "x", ...wrong };
      expect(await ask(servers[1]!, "/api/jobs", request)).toEqual(await ask(local, "/api/jobs", request));
    }
    const texts = { texts: ["a zeppelin", "a red bicycle, ".repeat(30), "badmix"] };
    const counted = await ask(servers[1]!, "/api/tokens", texts);
    expect(counted).toEqual(await ask(local, "/api/tokens", texts));
    expect(counted.body).toMatchObject({ texts: [{ tokens: 8, limit: 77 }, { limit: 77 }, { tokens: 6 }] });
    await local.close({ graceSeconds: 0 });
  });

  it("give the golden image of embeddings that a prompt names", async () => {
    const { body, levelsApart } = goldenRun(inverted);
    const answer = await ask(servers[0]!, "/sdapi/v1/txt2img", body);
    expect(await levelsApart(answer.body)).toBeLessThanOrEqual(1);
  });

  it("both know a job that one of them took, stream it and give its image", async () => {
    const [one, two] = [servers[0]!, servers[1]!];
    const request = { prompt: "a red bicycle", steps: 2, lora: [{ name: "bicycles" }] };
    const ended = async () => {
      const metrics = await (await fetch(`${two.url}/metrics`)).text();
      return Number(/koala_jobs_total\{state="done",model="koala-1b-tiny"\} (\d+)/.exec(metrics)?.[1] ?? 0);
    };
    const before = await ended();
    const { status, body: job } = await ask<Job>(one, "/api/jobs", request);
    expect(status).toBe(202);
    expect(job.settings.lora).toEqual([{ name: "bicycles", scale: 0.5 }]);
    const stream = await (await fetch(`${two.url}/api/jobs/${job.id}/events`)).text();
    expect(stream.match(/^event: image$/gm)).toHaveLength(1);
    const { body: done } = await ask<Job>(two, `/api/jobs/${job.id}`);
    expect(done.state).toBe("done");
    const file = await fetch(`${one.url}${done.images[0]!.url}`);
    expect(file.headers.get("content-type")).toBe("image/png");
    expect(await ended()).toBe(before + 1);
  });

  it("stream several jobs over one connection, whichever server took them", async () => {
    const taken = await Promise.all(
      servers.map((server, i) => ask<Job>(server, "/api/jobs", { prompt: "a red bicycle", steps: 2 + i })),
    );
    const ids = taken.map(({ body }) => body.id);
    const events = await eventsOf(await fetch(`${servers[1]!.url}/api/events?jobs=${ids.join(",")}`));
    expect(events.filter(({ event }) => event === "image")).toHaveLength(2);
    const over = events.flatMap(({ event, data }) => (event === "state" ? [data as Job] : []));
    for (const id of ids) expect(over.findLast((job) => job.id === id)?.state).toBe("done");
    expect(events.map(({ id }) => id).filter((id) => id !== undefined)).toEqual(["end"]);
    expect(events.at(-1)!.id).toBe("end");
  });

  it("generate for OpenAI's clients too", async () => {
    type Images = { data: { b64_json: string }[] };
    const { body } = await ask<Images>(servers[0]!, "/v1/images/generations", {
      prompt: "a red bicycle",
      steps: 2,
      n: 2,
      response_format: "b64_json",
    });
    expect(body.data.map(({ b64_json }) => b64_json.slice(0, 5))).toEqual(["iVBOR", "iVBOR"]);
  });

  it("stream to OpenAI's client, and cancel what it leaves", async () => {
    const client = new OpenAI({ baseURL: `${servers[0]!.url}/v1`, apiKey: "none", maxRetries: 0 });
    const request = { prompt: "a red bicycle", size: "64x64", stream: true, partial_images: 2 } as const;
    const types: string[] = [];
    for await (const { type } of await client.images.generate({ ...request, ...{ steps: 6 } }))
      types.push(type);
    expect(types).toEqual([
      ...["image_generation.partial_image", "image_generation.partial_image"],
      "image_generation.completed",
    ]);
    const left = await client.images.generate({ ...request, ...{ steps: 150, seed: 4711 } });
    for await (const { type } of left) if (type === "image_generation.partial_image") break;
    await vi.waitFor(async () => expect((await jobOfSeed("4711")).state).toBe("cancelled"), 20_000);
  });

  it("are one server to A1111's clients: progress, previews, interrupt, skip and options", async () => {
    const [one, two] = [servers[0]!, servers[1]!];
    type Progress = { progress: number; current_image: string | null; state: Record<string, unknown> };
    const long = { prompt: "a red bicycle", width: 72, height: 72, steps: 150 };
    const progress = async (server: RunningServer) =>
      (await ask<Progress>(server, "/sdapi/v1/progress")).body;
    for (const [seed, how, flag] of [
      ["12", "interrupt", "interrupted"],
      ["14", "skip", "skipped"],
    ] as const) {
      const answer = ask<{ images: string[] }>(one, "/sdapi/v1/txt2img", { ...long, seed: Number(seed) });
      await vi.waitFor(async () => expect((await progress(two)).current_image).not.toBeNull(), 20_000);
      const [here, there] = [await progress(one), await progress(two)];
      expect(there.progress).toBeGreaterThan(0);
      expect(there.state).toMatchObject({ job: here.state.job, job_count: 1, [flag]: false });
      await ask(two, `/sdapi/v1/${how}`, {});
      expect(await answer).toMatchObject({ status: 200, body: { images: [] } });
      expect((await jobOfSeed(seed)).state).toBe("cancelled");
    }
    expect((await progress(two)).state).toMatchObject({ job: "", job_count: 0 });
    await ask(one, "/sdapi/v1/options", { CLIP_stop_at_last_layers: 2 });
    const options = await ask<object>(two, "/sdapi/v1/options");
    expect(options.body).toMatchObject({ CLIP_stop_at_last_layers: 2 });
    await ask(two, "/sdapi/v1/txt2img", { prompt: "x", width: 64, height: 64, steps: 1, seed: 15 });
    expect((await jobOfSeed("15")).settings.clipSkip).toBe(1);
    await ask(two, "/sdapi/v1/options", { CLIP_stop_at_last_layers: 1 });
    expect((await ask<object>(one, "/sdapi/v1/options")).body).toMatchObject({ CLIP_stop_at_last_layers: 1 });
  });

  it("cancel what A1111's client leaves", async () => {
    const controller = new AbortController();
    const hungUp = fetch(`${servers[1]!.url}/sdapi/v1/txt2img`, {
      method: "POST",
      body: JSON.stringify({ prompt: "a red bicycle", width: 72, height: 72, steps: 150, seed: 13 }),
      headers: { "content-type": "application/json" },
      signal: controller.signal,
    }).catch(() => {});
    await vi.waitFor(async () => expect((await jobOfSeed("13")).state).toBe("running"), 20_000);
    controller.abort();
    await hungUp;
    await vi.waitFor(async () => expect((await jobOfSeed("13")).state).toBe("cancelled"), 20_000);
  });

  it("answer 503 while Redis is away, in /healthz too", async () => {
    const other = await startRedis();
    const server = await serveOver(other.url);
    await other.stop();
    expect((await ask(server, "/api/jobs")).status).toBe(503);
    expect((await ask(server, "/healthz")).status).toBe(503);
    expect((await fetch(`${server.url}/metrics`)).status).toBe(200);
    await server.close({ graceSeconds: 0 });
  });
});
