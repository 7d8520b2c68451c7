/** @file The page's server over real sockets: data, news, and what it refuses. */

import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { request } from "node:http";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { Script } from "node:vm";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { appendMetrics, type StepMetrics } from "../../src/monitor/metrics.js";
import { page } from "../../src/monitor/page.js";
import { pageScript } from "../../src/monitor/page-script.js";
import { writeRun } from "../../src/monitor/run.js";
import { progress } from "../../src/monitor/run-watcher.js";
import { hostAllowed, type MonitorServer, serveMonitor } from "../../src/monitor/server.js";

const png = Buffer.from("89504e470d0a1a0a", "hex");
const row = (step: number): StepMetrics => ({
  ...{ step, epoch: 0, loss: 1 / step, lr: 1e-5, gradNorm: 0.9, imagesPerSecond: 4, secondsPerStep: 2 },
  time: new Date().toISOString(),
});

let folder: string;
let server: MonitorServer;
beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "koala-watch-"));
  const run = { command: "distill", started: "2026-11-22T10:00:00Z", steps: 10 };
  await writeRun(folder, { ...run, models: { teacher: "sdxl" }, options: { seed: 7 } });
  for (const step of [1, 2, 3]) await appendMetrics(folder, row(step));
  await generate("step-000002", "a koala");
  await mkdir(path.join(folder, "samples/step-000003"));
  await writeFile(path.join(folder, "samples/secret.png"), "secret");
  await writeFile(path.join(folder, "secret.png"), "secret");
  server = await serveMonitor(folder, { port: 0, everyMs: 20 });
});
afterAll(async () => {
  await server.close();
  await rm(folder, { recursive: true });
});

async function generate(step: string, prompt: string): Promise<void> {
  const at = path.join(folder, "samples", step);
  await mkdir(at, { recursive: true });
  await writeFile(path.join(at, "0.png"), png);
  await writeFile(path.join(at, "prompts.json"), JSON.stringify([{ prompt, seed: 7, file: "0.png" }]));
}

type Json = Record<string, unknown>;
const getJson = async (at: string) => (await get(at)).json() as Promise<unknown>;
const get = (at: string, init?: RequestInit) => fetch(new URL(at, server.url), init);

/** The request line as given: fetch would resolve ".." before sending, and sets Host itself. */
async function rawStatus(target: string, host = "127.0.0.1"): Promise<number> {
  const socket = connect(Number(new URL(server.url).port), "127.0.0.1");
  socket.write(`GET ${target} HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`);
  let text = "";
  for await (const chunk of socket) text += chunk;
  return Number(text.split(" ")[1]);
}

describe("koala watch's server", () => {
  it("serves one page whose policy allows only its own script and style", async () => {
    const response = await get("/");
    const html = await response.text();
    const policy = response.headers.get("content-security-policy")!;
    const nonce = policy.match(/script-src 'nonce-([^']+)'/)![1]!;
    expect(policy).toContain("default-src 'none'");
    expect(policy).not.toContain("unsafe");
    expect(html.match(/<(script|style)[^>]*>/g)).toEqual(
      [`<style nonce="${nonce}">`, `<script type="module" nonce="${nonce}">`], //
    );
    expect(html).not.toMatch(/(src|href)="(https?:)?\/\//);
    expect((await get("/")).headers.get("content-security-policy")).not.toBe(policy);
  });

  it("sends its protection with every answer, also with refusals", async () => {
    for (const at of ["/", "/state.json", "/curves.svg", "/samples/step-000002/0.png", "/nothing"]) {
      const { headers } = await get(at);
      expect(headers.get("x-content-type-options"), at).toBe("nosniff");
      expect(headers.get("cross-origin-resource-policy"), at).toBe("same-origin");
      expect(headers.get("content-security-policy"), at).toContain("default-src 'none'");
      expect(headers.get("access-control-allow-origin"), at).toBeNull();
    }
  });

  it("tells the run's options, progress and finished images", async () => {
    const state = (await getJson("/state.json")) as Json;
    expect(state).toMatchObject({ name: path.basename(folder), run: { steps: 10, options: { seed: 7 } } });
    expect(state.progress).toMatchObject({ step: 3, steps: 10, status: "running", secondsLeft: 14 });
    const images = [{ prompt: "a koala", seed: 7, file: "0.png" }];
    expect(state.samples).toEqual([{ step: 2, folder: "step-000002", images }]);
  });

  it("gives the curves as panels with numbers, and as an image", async () => {
    const panels = (await getJson("/curves.json?window=0&scale=log")) as Json[];
    expect(panels.map((p) => p.key)).toEqual(["loss", "gradNorm", "lr", "imagesPerSecond"]);
    expect(panels[0]).toMatchObject({ firstStep: 1, lastStep: 3, scale: { kind: "log" } });
    expect(panels[0]!.points).toEqual([1, 2, 3].map((n) => [n, 1 / n, 1 / n]));
    const svg = await get("/curves.svg");
    expect(svg.headers.get("content-type")).toContain("image/svg+xml");
    expect(await svg.text()).toMatch(/^<svg /);
  });

  it("sends an image once, and then only that it has not changed", async () => {
    const first = await get("/samples/step-000002/0.png");
    expect(first.headers.get("content-type")).toBe("image/png");
    expect(Buffer.from(await first.arrayBuffer())).toEqual(png);
    const etag = first.headers.get("etag")!;
    const second = await get("/samples/step-000002/0.png", { headers: { "if-none-match": etag } });
    expect(second.status).toBe(304);
  });

  it("sends news of an appended row, of new images and of a broken file to who listens", async () => {
    const stop = new AbortController();
    const response = await get("/events", { signal: stop.signal });
    expect(response.headers.get("content-type")).toContain("text/event-stream");
    const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader();
    let text = "";
    const heard = async (what: string) => {
      while (!text.includes(what)) text += (await reader.read()).value;
    };
    await heard("retry");
    await appendMetrics(folder, row(4));
    await heard('event: metrics\ndata: {"rows":[{"step":4,');
    await generate("step-000004", "a koala");
    await heard('event: samples\ndata: {"steps":[2,4]}');
    await writeFile(path.join(folder, "samples/step-000004/prompts.json"), "{");
    await heard("event: problem");
    expect(((await getJson("/state.json")) as Json).problem).toContain("step-000004/prompts.json");
    await generate("step-000004", "a koala");
    await heard("event: problem\ndata: {}");
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
    expect(await rawStatus(target)).toBe(404);
  });

  it("refuses a foreign Host, as a rebound name would send it", async () => {
    for (const host of [
      "evil.example",
      "127.0.0.1.evil.example",
      "localhost.evil.example:7020",
      "",
      "[::1",
    ]) {
      expect(await rawStatus("/state.json", host), host).toBe(403);
    }
    for (const host of ["127.0.0.1", "localhost:7020", "LOCALHOST", "[::1]:7020"]) {
      expect(await rawStatus("/state.json", host), host).toBe(200);
    }
  });

  it("on all addresses answers to any address, but to no foreign name", () => {
    expect(hostAllowed("192.168.1.5:7020", "0.0.0.0")).toBe(true);
    expect(hostAllowed("[fe80::1]:7020", "::")).toBe(true);
    expect(hostAllowed("evil.example:7020", "0.0.0.0")).toBe(false);
    expect(hostAllowed("192.168.1.5:7020", "127.0.0.1")).toBe(false);
    expect(hostAllowed("box.lan:7020", "box.lan")).toBe(true);
    expect(hostAllowed(undefined, "127.0.0.1")).toBe(false);
  });

  it("only reads", async () => {
    for (const method of ["POST", "PUT", "DELETE"]) {
      const response = await get("/", { method });
      expect(response.status).toBe(405);
      expect(response.headers.get("allow")).toBe("GET, HEAD");
    }
    expect(await (await get("/", { method: "HEAD" })).text()).toBe("");
  });

  it("closes while a page is listening", async () => {
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

  it("says clearly that a folder is no run, and that a port is taken", async () => {
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

describe("progress", () => {
  const now = Date.parse("2026-11-22T12:00:00Z");
  const at = (step: number, secondsAgo: number) => ({
    ...row(step),
    time: new Date(now - secondsAgo * 1000).toISOString(),
  });

  it("follows the pace of the latest steps", () => {
    expect(progress(10, [at(1, 4), at(2, 2)], now)).toMatchObject({ status: "running", secondsLeft: 16 });
  });

  it("tells a run that waits, has fallen silent, or is finished", () => {
    expect(progress(10, [], now).status).toBe("waiting");
    expect(progress(10, [at(1, 121)], now).status).toBe("quiet");
    expect(progress(10, [at(10, 9999)], now)).toMatchObject({ status: "finished", secondsLeft: undefined });
  });
});

describe("the page's script", () => {
  it("is JavaScript, and finds every element that it asks for", () => {
    expect(() => new Script(pageScript)).not.toThrow();
    const asked = [...pageScript.matchAll(/\$\("([\w-]+)"\)/g)].map((m) => m[1]!);
    const html = page("nonce");
    expect(asked.length).toBeGreaterThan(10);
    for (const id of asked) expect(html).toContain(`id="${id}"`);
  });
});
