/** @file An application in Chromium that generates by the library (`browser-app/main.js`), with the server of it and of models. */

import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { build } from "esbuild";
import type { Page } from "playwright-core";
import type { GenerateRequest, LoadOptions } from "../src/index.js";
import { openBrowser } from "./browser.js";
import { type FileServer, serveFiles } from "./file-server.js";

const root = path.resolve(import.meta.dirname, "..");
/** Both together make a page isolated, which threads need. */
export const isolation = {
  "Cross-Origin-Opener-Policy": "same-origin",
  "Cross-Origin-Embedder-Policy": "require-corp",
};

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
  server: FileServer;
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
  for (const [page, script] of [
    ["index.html", "main.js"],
    ["check.html", "check.js"],
  ] as const)
    await writeFile(
      path.join(folder, page),
      `<!doctype html><body><script type="module" src="${script}"></script>`,
    );
  return folder;
}

/** ONNX Runtime's files. */
export const ort = path.join(root, "node_modules/onnxruntime-web/dist");

/** Builds the application, serves it beside `models`, and opens it. */
export async function openApp(
  models: Readonly<Record<string, string>>,
  { webGpu = false, headers = isolation as Readonly<Record<string, string>> } = {},
): Promise<App> {
  const folder = await buildApp();
  const server = await serveFiles({ app: folder, ort, ...models }, headers);
  const browser = await openBrowser({ webGpu });
  const page = await browser.newPage();
  await page.goto(`${server.url}app/`);
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
