/** @file Tests of the monitor's server over sockets: data, events, and rejected requests. */

import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { request } from "node:http";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Listening } from "../../src/http/listen.js";
import { appendMetrics, type StepMetrics } from "../../src/monitor/metrics.js";
import { writeRun } from "../../src/monitor/run.js";
import { serveMonitor } from "../../src/monitor/server.js";

const png = Buffer.from("89504e470d0a1a0a", "hex");
const row = (step: number): StepMetrics => ({
  ...{ step, epoch: 0, loss: 1 / step, lr: 1e-5, gradNorm: 0.9, imagesPerSecond: 4, secondsPerStep: 2 },
  time: new Date().toISOString(),
});

let folder: string;
let server: Listening;
beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "koala-watch-"));
  const run = { command: "distill", started: "2026-11-22T10:00:00Z", steps: 10 };
  await writeRun(folder, { ...run, models: { teacher: "sdxl" }, options: { seed: 7 } });
  for (const step of [1, 2, 3]) await appendMetrics(folder, row(step));
  await writeSample("step-000002", "a koala");
  await mkdir(path.join(folder, "samples/step-000003"));
  await writeFile(path.join(folder, "samples/secret.png"), "secret");
  await writeFile(path.join(folder, "secret.png"), "secret");
  server = await serveMonitor(folder, { port: 0, everyMs: 20 });
});
afterAll(async () => {
  await server.close();
  await rm(folder, { recursive: true });
});

async function writeSample(step: string, prompt: string): Promise<void> {
  const at = path.join(folder, "samples", step);
  await mkdir(at, { recursive: true });
  await writeFile(path.join(at, "0.png"), png);
  await writeFile(path.join(at, "prompts.json"), JSON.stringify([{ prompt, seed: 7, file: "0.png" }]));
}

type Json = Record<string, unknown>;
const getJson = async (at: string) => (await get(at)).json() as Promise<unknown>;
const get = (at: string, init?: RequestInit) => fetch(new URL(at, server.url), init);

/** Sends the request line and Host as they are; fetch resolves ".." and sets Host itself. */
async function rawStatus(target: string, host = "127.0.0.1"): Promise<number> {
  const socket = connect(Number(new URL(server.url).port), "127.0.0.1");
  socket.write(`GET ${target} HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`);
  let text = "";
  for await (const chunk of socket) text += chunk;
  return Number(text.split(" ")[1]);
}

describe("the monitor's server", () => {
  it("serves its page and the files that it loads, under a policy that allows no others", async () => {
    const html = await (await get("/")).text();
    const files = [...html.matchAll(/(?:src|href)="([^"]+)"/g)].map((m) => m[1]!);
    expect(files.length).toBeGreaterThan(2);
    for (const file of files) expect((await get(file)).status, file).toBe(200);
    const policy = (await get("/")).headers.get("content-security-policy");
    expect(policy).toContain("default-src 'self'");
    expect(policy).not.toContain("unsafe");
    expect((await get("/index.html")).status).toBe(404);
  });

  it("sends security headers with every response, errors included", async () => {
    for (const at of ["/", "/state.json", "/curves.svg", "/samples/step-000002/0.png", "/nothing"]) {
      const { headers } = await get(at);
      expect(headers.get("x-content-type-options"), at).toBe("nosniff");
      expect(headers.get("cross-origin-resource-policy"), at).toBe("same-origin");
      expect(headers.get("content-security-policy"), at).toMatch(/^default-src '(self|none)';/);
      expect(headers.get("access-control-allow-origin"), at).toBeNull();
    }
  });

  it("returns the options, the progress and the finished images of the run", async () => {
    const state = (await getJson("/state.json")) as Json;
    expect(state).toMatchObject({ name: path.basename(folder), run: { steps: 10, options: { seed: 7 } } });
    expect(state.progress).toMatchObject({ step: 3, steps: 10, status: "running", secondsLeft: 14 });
    const images = [{ prompt: "a koala", seed: 7, file: "0.png" }];
    expect(state.samples).toEqual([{ step: 2, folder: "step-000002", images }]);
  });

  it("returns the curves as panels of points, and as SVG", async () => {
    const panels = (await getJson("/curves.json?window=0&scale=log")) as Json[];
    expect(panels.map((p) => p.key)).toEqual(["loss", "gradNorm", "lr", "imagesPerSecond"]);
    expect(panels[0]).toMatchObject({ firstStep: 1, lastStep: 3, scale: { kind: "log" } });
    expect(panels[0]!.training).toEqual([1, 2, 3].map((n) => ({ step: n, value: 1 / n, smooth: 1 / n })));
    const svg = await get("/curves.svg");
    expect(svg.headers.get("content-type")).toContain("image/svg+xml");
    expect(await svg.text()).toMatch(/^<svg /);
  });

  it("sends an image once, then 304 until it changes", async () => {
    const first = await get("/samples/step-000002/0.png");
    expect(first.headers.get("content-type")).toBe("image/png");
    expect(Buffer.from(await first.arrayBuffer())).toEqual(png);
    const etag = first.headers.get("etag")!;
    const second = await get("/samples/step-000002/0.png", { headers: { "if-none-match": etag } });
    expect(second.status).toBe(304);
  });

  it("sends events for an appended row, new images and a broken file", async () => {
    const stop = new AbortController();
    const response = await get("/events", { signal: stop.signal });
    expect(response.headers.get("content-type")).toContain("text/event-stream");
    const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader();
    let text = "";
    const received = async (what: string) => {
      while (!text.includes(what)) text += (await reader.read()).value;
    };
    await received("retry");
    await appendMetrics(folder, row(4));
    await received('event: metrics\ndata: {"rows":[{"step":4,');
    await writeSample("step-000004", "a koala");
    await received('event: samples\ndata: {"steps":[2,4]}');
    await writeFile(path.join(folder, "samples/step-000004/prompts.json"), "{");
    await received("event: problem");
    expect(((await getJson("/state.json")) as Json).problem).toContain("step-000004/prompts.json");
    await writeSample("step-000004", "a koala");
    await received("event: problem\ndata: {}");
    stop.abort();
  });

  it.each([
    "/../secret.png",
    "/samples/../secret.png",
    "/samples/step-000002/../../secret.png",
    "/samples/step-000002/..%2f..%2fsecret.png",
    "/samples/step-000002/%2e%2e/secret.png",
    "/samples/step-000002\\..\\secret.png",
    "/samples/secret.png",
    "/samples//etc/passwd",
    "/samples/step-000002/prompts.json",
    "/samples/step-000002/0.png/",
    "/samples/step-000002/1.png",
    "/metrics.jsonl",
    "/run.json",
    "http://127.0.0.1/samples/step-000002/../../secret.png",
  ])("does not serve %s", async (target) => {
    expect([400, 404]).toContain(await rawStatus(target));
  });

  it("rejects a foreign Host, as DNS rebinding would send it", async () => {
    for (const host of ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example:7020"])
      expect(await rawStatus("/state.json", host), host).toBe(403);
    for (const host of ["", "[::1"])
      expect(await rawStatus("/state.json", host), host).toBeGreaterThanOrEqual(400);
    for (const host of ["127.0.0.1", "localhost:7020", "LOCALHOST", "[::1]:7020"]) {
      expect(await rawStatus("/state.json", host), host).toBe(200);
    }
  });

  it("accepts GET and HEAD only", async () => {
    for (const method of ["POST", "PUT", "DELETE"]) {
      const response = await get("/", { method });
      expect(response.status).toBe(405);
      expect(response.headers.get("allow")).toBe("GET, HEAD");
    }
    expect(await (await get("/", { method: "HEAD" })).text()).toBe("");
  });

  it("closes while a page receives events", async () => {
    const other = await serveMonitor(folder, { port: 0, everyMs: 20 });
    const gone = new Promise((resolve) => {
      const listening = request(new URL("/events", other.url), (response) => {
        response.on("error", () => {}).on("close", resolve);
        response.resume();
        void other.close();
      });
      listening.on("error", () => {}).end();
    });
    await gone;
    await expect(fetch(other.url)).rejects.toThrow();
  });

  it("rejects a folder that is not a run, and a port that is taken", async () => {
    const none = path.join(folder, "samples");
    await expect(serveMonitor(none, { port: 0 })).rejects.toMatchObject({
      name: "InvalidRequest",
      field: "folder",
    });
    await expect(serveMonitor(none, { port: 0 })).rejects.toThrow(/which has no run\.json/);
    const taken = Number(new URL(server.url).port);
    await expect(serveMonitor(folder, { port: taken })).rejects.toThrow(`port: must be free, got ${taken}`);
  });
});
