/** @file The library in a browser: bundled by its package's `browser` field, reading models by ranges over HTTP. */

import { mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { build } from "esbuild";
import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { DiffusionPipeline, type GenerateRequest, readRequest } from "../src/index.js";
import { openBrowser } from "./browser.js";

const root = path.resolve(".");
const folder = await mkdtemp(path.join(tmpdir(), "koala-browser-"));
const models = {
  nano: path.resolve("models/nano"),
  koala: path.resolve("golden/data/pipelines/koala-700m-tiny"),
};
/** What is served below each name. */
const served: Record<string, string> = {
  ...{ app: folder, ort: path.resolve("node_modules/onnxruntime-web/dist") },
  ...models,
};
const types: Record<string, string> = {
  ".js": "text/javascript",
  ".mjs": "text/javascript",
  ".wasm": "application/wasm",
};

let [server, browser, page]: [Server?, Browser?, Page?] = [];
/** Requests of weights, and how many of them were for a part of a file. */
const asked = { weights: 0, ranges: 0 };

beforeAll(async () => {
  await build({
    ...{
      entryPoints: [path.resolve("test/browser-app/main.js")],
      bundle: true,
      format: "esm",
      platform: "browser",
    },
    ...{ outfile: path.join(folder, "main.js"), supported: { using: false }, logLevel: "error" },
    alias: { "koala-diffusion": path.join(root, "dist", "index.js") },
  });
  server = createServer((request, response) => {
    void answer(request.url ?? "/", request.headers.range).then(({ status = 200, type, body, range }) => {
      response.writeHead(status, {
        "Content-Type": type ?? "application/octet-stream",
        // Threads need both.
        ...{ "Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Embedder-Policy": "require-corp" },
        ...(range && { "Content-Range": range }),
      });
      response.end(body);
    });
  }).listen(0, "127.0.0.1");
  browser = await openBrowser();
  page = await browser.newPage();
  await page.goto(`${origin()}/`);
  await page.getByText("ready").waitFor();
});

afterAll(async () => {
  await browser?.close();
  server?.close();
  await rm(folder, { recursive: true });
});

const origin = () => `http://127.0.0.1:${(server!.address() as AddressInfo).port}`;

type Answer = { status?: number; type?: string; body: string | Uint8Array; range?: string };

async function answer(url: string, range: string | undefined): Promise<Answer> {
  const [, name = "", ...rest] = url.split("/");
  if (name === "") return { type: "text/html", body: '<script type="module" src="/app/main.js"></script>' };
  if (served[name] === undefined) return { status: 404, body: "" };
  if (rest.join("/") === "files.json") return { type: "application/json", body: await listOf(served[name]) };
  const file = path.join(served[name], ...rest);
  const bytes = await readFile(file).catch(() => undefined);
  if (!bytes) return { status: 404, body: "" };
  if (file.endsWith(".safetensors")) asked.weights++;
  const [, from, to] = /^bytes=(\d+)-(\d+)$/.exec(range ?? "") ?? [];
  if (from === undefined) return { type: types[path.extname(file)]!, body: bytes };
  asked.ranges += file.endsWith(".safetensors") ? 1 : 0;
  const part = bytes.subarray(Number(from), Number(to) + 1);
  return { status: 206, body: part, range: `bytes ${from}-${to}/${bytes.length}` };
}

async function listOf(model: string): Promise<string> {
  const entries = await readdir(model, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => !entry.isDirectory()).map((e) => path.join(e.parentPath, e.name));
  const sizes = files.map(async (file) => [path.relative(model, file), (await stat(file)).size] as const);
  return JSON.stringify(Object.fromEntries(await Promise.all(sizes)));
}

async function written(png: readonly number[]): Promise<string> {
  const file = path.join(folder, "image.png");
  await writeFile(file, Uint8Array.from(png));
  return file;
}

type Made = { width: number; height: number; data: number[]; png: number[]; warnings: string[] };

const inBrowser = (model: keyof typeof models, request: GenerateRequest): Promise<Made> =>
  page!.evaluate(
    ([url, request]) =>
      (globalThis as unknown as { generate: (...of: unknown[]) => Promise<Made> }).generate(url, request),
    [`${origin()}/${model}`, request] as const,
  );

/** The image's peak signal-to-noise ratio to Node's own, in decibels. */
async function against(model: keyof typeof models, request: GenerateRequest, data: readonly number[]) {
  await using pipeline = await DiffusionPipeline.fromPretrained(models[model]);
  const { images } = await pipeline.generate(request);
  const squares = images[0]!.data.reduce((sum, value, i) => sum + (value - data[i]!) ** 2, 0);
  return 10 * Math.log10(255 ** 2 / (squares / data.length));
}

describe("the library in a browser", () => {
  it("generates the bundled model's image as Node does, by ranges, and the PNG says how", async () => {
    const request = { prompt: "a red apple, flat icon", seed: 7, numInferenceSteps: 4 };
    const { width, height, data, png } = await inBrowser("nano", request);
    expect([width, height]).toEqual([128, 128]);
    expect(await against("nano", request, data)).toBeGreaterThan(60);
    // Headers by ranges; in a page's own thread each file of weights is then read once.
    expect(asked.weights - asked.ranges).toBe(4);
    const { request: saved } = await readRequest(await written(png));
    expect(saved).toMatchObject({ prompt: request.prompt, seed: 7n, numInferenceSteps: 4 });
  });

  it("generates a KOALA-700M's image as Node does", async () => {
    const request = {
      prompt: "a koala",
      seed: 3,
      numInferenceSteps: 2,
      width: 64,
      height: 64,
      guidanceScale: 3.5,
    };
    const { data } = await inBrowser("koala", request);
    expect(await against("koala", request, data)).toBeGreaterThan(60);
  });

  it("refuses what a browser does not have by name", async () => {
    await expect(inBrowser("nano", { prompt: "a cat", width: 100 })).rejects.toThrow(
      /width: must be a multiple of 8/,
    );
  });
});
