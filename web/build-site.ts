/**
 * @file Builds the static site into `out/site`, or the folder that is given: the page that generates in the tab, the
 * bundled models, ONNX Runtime's files and a service worker. Any host of files can serve it. `npm run site`.
 */

import { createHash } from "node:crypto";
import { cp, mkdir, readdir, readFile, stat, writeFile } from "node:fs/promises";
import path from "node:path";
import * as esbuild from "esbuild";
import { build } from "vite";
import { sitePolicy } from "../src/http/security-headers.js";

const root = path.resolve(import.meta.dirname, "..");
const site = path.resolve(process.argv[2] ?? path.join(root, "out", "site"));
/** The first is the default of the page. */
const models = ["nano", "nano-lightning"];
const ort = path.join(root, "node_modules", "onnxruntime-web", "dist");
/** The policy, and what threads of WebAssembly need. */
const headers = {
  "Content-Security-Policy": sitePolicy,
  "Cross-Origin-Opener-Policy": "same-origin",
  "Cross-Origin-Embedder-Policy": "require-corp",
  "Cross-Origin-Resource-Policy": "same-origin",
};

await build({
  configFile: path.join(root, "web", "vite.config.ts"),
  mode: "site",
  logLevel: "error",
  // Until the service worker answers for the page.
  plugins: [
    {
      name: "site-policy",
      transformIndexHtml: () => [
        {
          tag: "meta",
          attrs: { "http-equiv": "Content-Security-Policy", content: sitePolicy },
          injectTo: "head-prepend",
        },
      ],
    },
  ],
  build: { outDir: site },
});
for (const model of models) await copyModel(model);
await mkdir(path.join(site, "ort"), { recursive: true });
for (const name of await readdir(ort))
  if (/^ort-wasm-simd-threaded\.(mjs|wasm)$/.test(name))
    await cp(path.join(ort, name), path.join(site, "ort", name));
await writeJson("tab.json", { models: models.map((name) => `models/${name}/`), ort: "ort/" });
await esbuild.build({
  entryPoints: [path.join(root, "web", "src", "site", "service-worker.ts")],
  outfile: path.join(site, "service-worker.js"),
  ...{ bundle: true, minify: true, format: "iife", target: "es2022" },
  define: await serviceWorkerData(),
});

/** A model's files, and the list of their sizes that a browser reads a folder by (docs/browser.md). */
async function copyModel(name: string): Promise<void> {
  const to = path.join(site, "models", name);
  // What evaluates images is no part of making them.
  const filter = (file: string) => path.basename(file) !== "evaluator";
  await cp(path.join(root, "models", name), to, { recursive: true, filter });
  const sizes: Record<string, number> = {};
  for (const file of await filesIn(to)) sizes[file] = (await stat(path.join(to, file))).size;
  await writeJson(path.join("models", name, "files.json"), sizes);
}

async function writeJson(file: string, value: unknown): Promise<void> {
  await writeFile(path.join(site, file), `${JSON.stringify(value, undefined, 1)}\n`);
}

async function filesIn(folder: string): Promise<string[]> {
  const found = await readdir(folder, { recursive: true, withFileTypes: true });
  const files = found
    .filter((entry) => entry.isFile())
    .map((entry) => path.join(entry.parentPath, entry.name));
  return files.map((file) => path.relative(folder, file).split(path.sep).join("/")).sort();
}

/** What the service worker is built with; it keeps the page and the first model, others once they are used. */
async function serviceWorkerData() {
  const files = await hashes();
  const needed = (file: string) => !file.startsWith("models/") || file.startsWith(`models/${models[0]}/`);
  const data = { FILES: files, KEPT: Object.keys(files).filter(needed), HEADERS: headers };
  return Object.fromEntries(Object.entries(data).map(([name, value]) => [name, JSON.stringify(value)]));
}

async function hashes(): Promise<Record<string, string>> {
  const all: Record<string, string> = {};
  for (const file of await filesIn(site)) {
    const hash = createHash("sha256").update(await readFile(path.join(site, file)));
    all[file] = hash.digest("base64url").slice(0, 12);
  }
  return all;
}
