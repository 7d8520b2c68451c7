/**
 * @file A server of folders' files with ranges, as a host of static sites and of models: it sends what headers a test gives,
 * and to each folder without one the list of files that a browser's library reads (`files.json`).
 */

import { createReadStream } from "node:fs";
import { readdir, stat } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import path from "node:path";
import { text } from "node:stream/consumers";

const types: Readonly<Record<string, string>> = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript",
  ".mjs": "text/javascript",
  ".css": "text/css",
  ".json": "application/json",
  ".wasm": "application/wasm",
  ".svg": "image/svg+xml",
};

type Asked = { path: string; isRange: boolean };

export type FileServer = {
  /** With a slash at its end. */
  url: string;
  /** What was asked for, the latest last. */
  asked: Asked[];
  close(): void;
};

/** Serves `folders` below their names; that of the name "" at the root. `onPost` answers what pages post. */
export async function serveFiles(
  folders: Readonly<Record<string, string>>,
  headers: Readonly<Record<string, string>> = {},
  onPost: (body: string) => string = () => "",
): Promise<FileServer> {
  const asked: Asked[] = [];
  const server = createServer(async (request, response) => {
    const { pathname } = new URL(request.url ?? "/", "http://files");
    if (request.method === "POST")
      return void response.writeHead(200, headers).end(onPost(await text(request)));
    const [, from, to] = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? "") ?? [];
    asked.push({ path: pathname, isRange: from !== undefined });
    const [, first = "", ...rest] = decodeURIComponent(pathname).split("/");
    const folder = folders[first] ?? folders[""] ?? "/nowhere";
    const below = folders[first] === undefined || first === "" ? [first, ...rest] : rest;
    const file = path.join(folder, ...below, pathname.endsWith("/") ? "index.html" : "");
    const type = { ...headers, "content-type": types[path.extname(file)] ?? "application/octet-stream" };
    const size = (await stat(file).catch(() => undefined))?.size;
    if (size === undefined && file === path.join(folder, "files.json"))
      return void response.writeHead(200, type).end(await listOf(folder));
    if (size === undefined) return void response.writeHead(404, headers).end();
    const [start, end] = from === undefined ? [0, size - 1] : [Number(from), Math.min(Number(to), size - 1)];
    const range = from === undefined ? {} : { "content-range": `bytes ${start}-${end}/${size}` };
    response.writeHead(from === undefined ? 200 : 206, { ...type, ...range });
    createReadStream(file, { start, end }).pipe(response);
  }).listen(0, "127.0.0.1");
  await new Promise((resolve) => server.once("listening", resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
  const close = () => {
    server.closeAllConnections();
    server.close();
  };
  return { url, asked, close };
}

async function listOf(folder: string): Promise<string> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => !entry.isDirectory()).map((e) => path.join(e.parentPath, e.name));
  const sizes = files.map(async (file) => [path.relative(folder, file), (await stat(file)).size] as const);
  return JSON.stringify(Object.fromEntries(await Promise.all(sizes)));
}
