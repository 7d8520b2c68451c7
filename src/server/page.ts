/** @file The page's files, read once at start into a table: no path of a request reaches the file system. */

import { createHash } from "node:crypto";
import path from "node:path";
import { Hono } from "hono";
import { ifThere, readdir, readFile } from "../files/file-system.js";

type PageFile = { bytes: Uint8Array<ArrayBuffer>; type: string; tag: string; lasting: boolean };
export type Page = ReadonlyMap<string, PageFile>;

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

/** Where the built page lies, next to the built server. */
export const pageFolder = new URL("../../dist/web/", import.meta.url).pathname;

/** Reads a built page; an empty table if there is none. */
export async function readPage(folder: string = pageFolder): Promise<Page> {
  const entries = (await ifThere(() => readdir(folder, { recursive: true, withFileTypes: true }))) ?? [];
  const page = new Map<string, PageFile>();
  for (const entry of entries) {
    const type = types[path.extname(entry.name).toLowerCase()];
    if (!entry.isFile() || type === undefined) continue;
    const file = path.join(entry.parentPath, entry.name);
    const bytes = new Uint8Array(await readFile(file));
    const url = `/${path.relative(folder, file).split(path.sep).join("/")}`;
    const tag = `"${createHash("sha256").update(bytes).digest("base64url").slice(0, 22)}"`;
    // Vite names these by their content.
    const lasting = url.startsWith("/assets/");
    page.set(url === "/index.html" ? "/" : url, { bytes, type, tag, lasting });
  }
  return page;
}

export function pageRoutes(page: Page): Hono {
  const app = new Hono();
  for (const [url, { bytes, type, tag, lasting }] of page) {
    app.get(url, (c) => {
      const headers = {
        etag: tag,
        "cache-control": lasting ? "public, max-age=31536000, immutable" : "no-cache",
      };
      if (c.req.header("if-none-match") === tag) return c.body(null, 304, headers);
      return c.body(bytes, 200, { ...headers, "content-type": type });
    });
  }
  if (!page.has("/")) app.get("/", (c) => c.text("koala serves an API here: /openapi.json describes it.\n"));
  return app;
}
