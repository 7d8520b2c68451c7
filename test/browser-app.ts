/** @file An application in Chromium that generates by the library (`browser-app/main.js`), and the server of it and of models. */

import { mkdtemp, readdir, readFile, rm, stat } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { text } from "node:stream/consumers";
import { build } from "esbuild";
import type { Page } from "playwright-core";
import type { GenerateRequest, LoadOptions } from "../src/index.js";
import { openBrowser } from "./browser.js";

const root = path.resolve(import.meta.dirname, "..");
const types: Readonly<Record<string, string>> = {
  ".html": "text/html",
  ".js": "text/javascript",
  ".mjs": "text/javascript",
  ".css": "text/css",
  ".wasm": "application/wasm",
};

/** Both together make a page isolated, which threads need. */
const isolation = {
  "Cross-Origin-Opener-Policy": "same-origin",
  "Cross-Origin-Embedder-Policy": "require-corp",
};

export type AppServer = {
  url: string;
  /** Requests of weights, and how many of them were for a part of a file. */
  asked: { weights: number; ranges: number };
  close(): void;
};

/**
 * Serves folders below their names, each with the list of its files, and the page of the application in `app`. What pages
 * post is given to `onReport`.
 */
export async function serveApp(
  folders: Readonly<Record<string, string>>,
  headers: Readonly<Record<string, string>> = isolation,
  onReport: (report: string) => void = () => {},
): Promise<AppServer> {
  const asked = { weights: 0, ranges: 0 };
  const server = createServer(async (request, response) => {
    const {
      url = "/",
      headers: { range },
    } = request;
    if (request.method === "POST") onReport(await text(request));
    const { status = 200, type = "application/octet-stream", body = "", more } = await answer(url, range);
    response.writeHead(status, { ...headers, ...more, "Content-Type": type }).end(body);
  }).listen(0, "127.0.0.1");
  await new Promise((resolve) => server.once("listening", resolve));

  async function answer(url: string, range: string | undefined): Promise<Answer> {
    const [, name = "", ...rest] = new URL(url, "http://app").pathname.split("/");
    if (name === "") return { type: "text/html", body: '<script type="module" src="/app/main.js"></script>' };
    const folder = folders[name];
    if (folder === undefined) return { status: 404 };
    if (rest.join("/") === "files.json") return { type: "application/json", body: await listOf(folder) };
    const file = path.join(folder, ...rest, rest.at(-1) === "" ? "index.html" : "");
    const bytes = await readFile(file).catch(() => undefined);
    if (!bytes) return { status: 404 };
    if (file.endsWith(".safetensors")) asked.weights++;
    const [, from, to] = /^bytes=(\d+)-(\d+)$/.exec(range ?? "") ?? [];
    const type = types[path.extname(file)] ?? "application/octet-stream";
    if (from === undefined) return { type, body: bytes };
    if (file.endsWith(".safetensors")) asked.ranges++;
    const part = bytes.subarray(Number(from), Number(to) + 1);
    return { status: 206, body: part, more: { "Content-Range": `bytes ${from}-${to}/${bytes.length}` } };
  }

  const close = () => {
    server.closeAllConnections();
    server.close();
  };
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, asked, close };
}

type Answer = { status?: number; type?: string; body?: string | Uint8Array; more?: Record<string, string> };

async function listOf(folder: string): Promise<string> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => !entry.isDirectory()).map((e) => path.join(e.parentPath, e.name));
  const sizes = files.map(async (file) => [path.relative(folder, file), (await stat(file)).size] as const);
  return JSON.stringify(Object.fromEntries(await Promise.all(sizes)));
}

/** What is asked of the application beside a request. */
export type AppOptions = Pick<
  LoadOptions,
  "device" | "dtype" | "weights" | "threads" | "allowSoftwareAdapter" | "onnxRuntimeFolder"
> & {
  /** Fields of an EulerDiscreteScheduler in place of the model's own scheduler. */
  euler?: Record<string, unknown>;
};

export type Made = {
  width: number;
  height: number;
  data: number[];
  latents: number[];
  png: number[];
  warnings: string[];
  device: string;
  reason: string;
};

/** Has the application on a page generate by the model of this folder of its server. */
export const generateOn = (
  page: Page,
  model: string,
  request: GenerateRequest,
  options: AppOptions = {},
): Promise<Made> =>
  page.evaluate(
    ([url, request, options]) =>
      (globalThis as unknown as { generate: (...of: unknown[]) => Promise<Made> }).generate(
        url,
        request,
        options,
      ),
    [new URL(`/${model}`, page.url()).href, request, options] as const,
  );

export type App = {
  page: Page;
  server: AppServer;
  /** A folder that `close` removes. */
  folder: string;
  generate(model: string, request: GenerateRequest, options?: AppOptions): Promise<Made>;
  close(): Promise<void>;
};

/** Builds the application with esbuild into a folder of its own. */
export async function buildApp(): Promise<string> {
  const folder = await mkdtemp(path.join(tmpdir(), "koala-browser-"));
  await build({
    entryPoints: ["main.js", "check.js"].map((name) => path.join(root, "test/browser-app", name)),
    ...{ bundle: true, splitting: true, format: "esm", platform: "browser", logLevel: "error" },
    ...{ outdir: folder, supported: { using: false } },
    alias: { "koala-diffusion": path.join(root, "dist", "index.js") },
  });
  return folder;
}

/** ONNX Runtime's files, as `serveApp` takes them. */
export const ort = path.join(root, "node_modules/onnxruntime-web/dist");

/** Builds the application, serves it beside `models`, and opens it. */
export async function openApp(
  models: Readonly<Record<string, string>>,
  { webGpu = false, headers = isolation as Readonly<Record<string, string>> } = {},
): Promise<App> {
  const folder = await buildApp();
  const server = await serveApp({ app: folder, ort, ...models }, headers);
  const browser = await openBrowser({ webGpu });
  const page = await browser.newPage();
  await page.goto(`${server.url}/`);
  await page.getByText("ready").waitFor();
  return {
    ...{ page, server, folder },
    generate: (...of) => generateOn(page, ...of),
    close: async () => {
      await browser.close();
      server.close();
      await rm(folder, { recursive: true });
    },
  };
}
