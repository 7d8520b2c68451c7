/**
 * @file Builds the static site into `out/site`, or the folder that is given: the page that generates in the tab, the
 * bundled models, ONNX Runtime's files and a service worker. Any host of files can serve it. `npm run site`.
 */

import { createHash } from "node:crypto";
import { cp, mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import path from "node:path";
import * as esbuild from "esbuild";
import { build } from "vite";
import { sitePolicy } from "../src/http/security-headers.js";
import { bundledFolders } from "../src/hub/bundled-models.js";
import { readTabFiles } from "../src/server/tab-routes.js";

const root = path.resolve(import.meta.dirname, "..");
const site = path.resolve(process.argv[2] ?? path.join(root, "out", "site"));
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
const tabFiles = await readTabFiles();
if (tabFiles.size === 0)
  throw new Error("node_modules/onnxruntime-web and models/nano: must be there, got none. Run npm ci.");
for (const [url, found] of tabFiles) {
  const to = path.join(site, url);
  await mkdir(path.dirname(to), { recursive: true });
  if ("json" in found) await writeFile(to, `${JSON.stringify(found.json, undefined, 1)}\n`);
  else await cp(found.file, to);
}
await esbuild.build({
  entryPoints: [path.join(root, "web", "src", "site", "service-worker.ts")],
  outfile: path.join(site, "service-worker.js"),
  ...{ bundle: true, minify: true, format: "iife", target: "es2022" },
  define: await serviceWorkerData(),
});

async function filesIn(folder: string): Promise<string[]> {
  const found = await readdir(folder, { recursive: true, withFileTypes: true });
  const files = found
    .filter((entry) => entry.isFile())
    .map((entry) => path.join(entry.parentPath, entry.name));
  return files.map((file) => path.relative(folder, file).split(path.sep).join("/")).sort();
}

/** What the service worker is built with; it keeps the page and the first model before others. */
async function serviceWorkerData() {
  const files = await hashes();
  const first = path.join("models", path.basename(bundledFolders()[0]!), "/");
  const isOther = (file: string) => file.startsWith("models/") && !file.startsWith(first);
  const kept = Object.keys(files).sort((a, b) => Number(isOther(a)) - Number(isOther(b)));
  const data = { FILES: files, KEPT: kept, HEADERS: headers };
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
