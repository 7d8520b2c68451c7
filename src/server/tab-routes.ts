/**
 * @file What a page needs to generate in the tab beside the server: the bundled models, read by ranges, and ONNX
 * Runtime's files for browsers. Files are found at start, so that no path of a request reaches the file system.
 */

import { createRequire } from "node:module";
import { Hono } from "hono";
import { isBuildFile } from "../engine/ort/web-builds.js";
import { kindOf, readdir, readFile, readRange, stat } from "../files/file-system.js";
import path from "../files/path.js";
import { byteRange, rangeAnswer } from "../http/range.js";
import { bundledFolders } from "../hub/bundled-models.js";

/** By path in a URL; the static site has the same files (`web/build-site.ts`). */
export type TabFiles = ReadonlyMap<string, { file: string; size: number } | { json: object }>;

const types: Readonly<Record<string, string>> = {
  ".mjs": "text/javascript; charset=utf-8",
  ".wasm": "application/wasm",
  ".json": "application/json",
};

/** None where onnxruntime-web is not installed or the package has no models. */
export async function readTabFiles(): Promise<TabFiles> {
  const [ort, found] = [ortFolder(), new Map<string, { file: string; size: number } | { json: object }>()];
  const folders = bundledFolders();
  if (ort === undefined || (await kindOf(folders[0]!)) === undefined) return found;
  const add = async (url: string, file: string) => {
    found.set(url, { file, size: (await stat(file)).size });
  };
  for (const name of await readdir(ort))
    if (isBuildFile(name)) await add(`/ort/${name}`, path.join(ort, name));
  for (const folder of folders) {
    const sizes: Record<string, number> = {};
    for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
      // What evaluates images is no part of making them.
      if (!entry.isFile() || path.basename(entry.parentPath) === "evaluator") continue;
      const file = path.join(entry.parentPath, entry.name);
      const name = path.relative(folder, file).split(path.sep).join("/");
      await add(`/models/${path.basename(folder)}/${name}`, file);
      sizes[name] = (await stat(file)).size;
    }
    found.set(`/models/${path.basename(folder)}/files.json`, { json: sizes });
  }
  const names = folders.map((folder) => `models/${path.basename(folder)}/`);
  found.set("/tab.json", { json: { models: names, ort: "ort/" } });
  return found;
}

/** The folder of onnxruntime-web's files, where it is installed. */
function ortFolder(): string | undefined {
  try {
    return path.dirname(
      createRequire(import.meta.url).resolve("onnxruntime-web/ort-wasm-simd-threaded.wasm"),
    );
  } catch {
    return undefined;
  }
}

export function tabRoutes(files: TabFiles): Hono {
  const app = new Hono();
  for (const [url, found] of files) {
    if ("json" in found) {
      app.get(url, (c) => c.json(found.json, 200, { "cache-control": "no-cache" }));
      continue;
    }
    const { file, size } = found;
    app.get(url, async (c) => {
      const type = types[path.extname(file)] ?? "application/octet-stream";
      const headers = { "content-type": type, "cache-control": "no-cache", "accept-ranges": "bytes" };
      const range = byteRange(c.req.header("range"), size);
      if (!range) return c.body(new Uint8Array(await readFile(file)), 200, headers);
      const { status, headers: ofRange } = rangeAnswer(range, size);
      const bytes = await readRange(file, range.start, range.end - range.start);
      return c.body(new Uint8Array(bytes), status, { ...headers, ...ofRange });
    });
  }
  return app;
}
