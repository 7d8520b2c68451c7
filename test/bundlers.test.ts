/**
 * @file Applications of others: the library bundled by esbuild, Vite and webpack as they come, and loaded by a page without
 * a bundler. Each generates one image in Chromium.
 */

import { cp, mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { promisify } from "node:util";
import * as esbuild from "esbuild";
import type { Browser } from "playwright-core";
import * as vite from "vite";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import webpack, { type Stats } from "webpack";
import { DiffusionPipeline, type GenerateRequest } from "../src/index.js";
import { openBrowser } from "./browser.js";
import { generateOn, isolation, ort } from "./browser-app.js";
import { serveFiles } from "./file-server.js";
import { psnr } from "./psnr.js";

const root = path.resolve(import.meta.dirname, "..");
const nano = path.join(root, "models/nano");
const request: GenerateRequest = { prompt: "a red apple, flat icon", seed: 7, numInferenceSteps: 2 };

const project = await mkdtemp(path.join(tmpdir(), "koala-project-"));
const entry = path.join(project, "main.js");
const out = (name: string) => path.join(project, name);
let browser: Browser;
let expected: Uint8Array;

beforeAll(async () => {
  await mkdir(path.join(project, "node_modules"));
  await symlink(root, path.join(project, "node_modules/koala-diffusion"));
  await symlink(path.dirname(ort), path.join(project, "node_modules/onnxruntime-web"));
  await cp(path.join(root, "test/browser-app/main.js"), entry);
  await writeFile(path.join(project, "package.json"), '{ "type": "module", "private": true }');
  await writeFile(
    path.join(project, "index.html"),
    '<!doctype html><body><script type="module" src="main.js"></script></body>',
  );
  browser = await openBrowser();
  await using pipeline = await DiffusionPipeline.fromPretrained(nano);
  expected = (await pipeline.generate(request)).images[0]!.data;
});
afterAll(async () => {
  await browser?.close();
  await rm(project, { recursive: true });
});

/** The image that the application in `folder`, below /app, generates, against Node's; `threads` and where files lie. */
async function decibels(folder: string, page = "app/", options: object = {}): Promise<number> {
  const server = await serveFiles(
    { app: folder, nano, ort, koala: path.join(root, "dist/browser") },
    isolation,
  );
  const tab = await browser.newPage();
  try {
    await tab.goto(`${server.url}${page}`);
    await tab.getByText("ready").waitFor();
    const { data, width } = await generateOn(tab, "nano", request, options);
    expect(width).toBe(128);
    return psnr(data, expected);
  } finally {
    await tab.close();
    server.close();
  }
}

/** Takes what the bundler made of ONNX Runtime's files. */
const asBundled = { onnxRuntimeFolder: undefined, threads: 2 };

describe("an application with the library", { timeout: 240_000 }, () => {
  it("is built by esbuild, and told where ONNX Runtime's files are", async () => {
    await esbuild.build({
      ...{ entryPoints: [entry], bundle: true, splitting: true, format: "esm", outdir: out("esbuild") },
      ...{ platform: "browser", logLevel: "error", supported: { using: false } },
    });
    const page = '<!doctype html><body><script type="module" src="main.js"></script></body>';
    await writeFile(path.join(out("esbuild"), "index.html"), page);
    expect(await decibels(out("esbuild"), "app/", { threads: 2 })).toBeGreaterThan(60);
  });

  it("is built by Vite, which brings ONNX Runtime's files", async () => {
    await vite.build({
      ...{ root: project, base: "./", logLevel: "error", configFile: false },
      build: { outDir: out("vite"), target: "es2022" },
    });
    expect(await decibels(out("vite"), "app/", asBundled)).toBeGreaterThan(60);
  });

  it("is built by webpack, which brings ONNX Runtime's files", async () => {
    const compiler = webpack({
      ...{ mode: "production", context: project, entry, target: "web" },
      output: { path: out("webpack"), filename: "main.js" },
      performance: { hints: false },
    });
    const stats = await promisify<Stats | undefined>((done) => compiler.run(done))();
    expect(stats?.toJson({ all: false, errors: true }).errors).toEqual([]);
    await cp(path.join(project, "index.html"), path.join(out("webpack"), "index.html"));
    expect(await decibels(out("webpack"), "app/", asBundled)).toBeGreaterThan(60);
  });

  it("needs no bundler with the modules of dist/browser", async () => {
    await mkdir(out("plain"));
    await cp(entry, path.join(out("plain"), "main.js"));
    const map = { imports: { "koala-diffusion": "/koala/koala-diffusion.js" } };
    await writeFile(
      path.join(out("plain"), "index.html"),
      `<!doctype html><body><script type="importmap">${JSON.stringify(map)}</script>` +
        '<script type="module" src="main.js"></script></body>',
    );
    expect(await decibels(out("plain"), "app/", { threads: 2 })).toBeGreaterThan(60);
  });
});
