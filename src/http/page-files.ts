/** @file The files of a built page, read into a table at start, so that no path of a request reaches the file system. */

import { createHash } from "node:crypto";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { Hono } from "hono";
import { ifThere, readdir, readFile } from "../files/file-system.js";
import { builtFile } from "../package-files.js";

type PageFile = { bytes: Uint8Array<ArrayBuffer>; type: string; tag: string; immutable: boolean };
/** Files by their path in a URL. */
export type PageFiles = ReadonlyMap<string, PageFile>;

const types: Readonly<Record<string, string>> = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".mjs": "text/javascript; charset=utf-8",
  ".css": "text/css; charset=utf-8",
  ".svg": "image/svg+xml",
  ".png": "image/png",
  ".webp": "image/webp",
  ".ico": "image/x-icon",
  ".json": "application/json",
  ".webmanifest": "application/manifest+json",
  ".wasm": "application/wasm",
  ".woff2": "font/woff2",
  ".txt": "text/plain; charset=utf-8",
};

/** The folder that Vite builds all pages into. */
const builtPages = fileURLToPath(builtFile("web/"));

/** Reads the page `entry`, whose path is "/", and the scripts and styles; an empty table if nothing is built. */
export async function readPageFiles(
  entry: "index.html" | "monitor.html",
  folder: string = builtPages,
): Promise<PageFiles> {
  const found = (await ifThere(() => readdir(folder, { recursive: true, withFileTypes: true }))) ?? [];
  const files = new Map<string, PageFile>();
  for (const { name, parentPath } of found.filter((one) => one.isFile())) {
    const file = path.join(parentPath, name);
    const extension = path.extname(name).toLowerCase();
    const type = types[extension];
    const otherPage = extension === ".html" && name !== entry;
    if (type === undefined || otherPage) continue;
    const bytes = new Uint8Array(await readFile(file));
    const url = `/${path.relative(folder, file).split(path.sep).join("/")}`;
    const tag = `"${createHash("sha256").update(bytes).digest("base64url").slice(0, 22)}"`;
    // Vite puts a hash of the content into the names of these files.
    const immutable = url.startsWith("/assets/");
    files.set(name === entry ? "/" : url, { bytes, type, tag, immutable });
  }
  return files;
}

export function pageRoutes(files: PageFiles): Hono {
  const app = new Hono();
  for (const [url, { bytes, type, tag, immutable }] of files) {
    app.get(url, (c) => {
      const headers = {
        etag: tag,
        "cache-control": immutable ? "public, max-age=31536000, immutable" : "no-cache",
      };
      if (c.req.header("if-none-match") === tag) return c.body(null, 304, headers);
      return c.body(bytes, 200, { ...headers, "content-type": type });
    });
  }
  return app;
}
