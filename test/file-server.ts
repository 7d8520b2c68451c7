/** @file A server of a folder's files with ranges, as a host of static sites: it sends what headers a test gives. */

import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import path from "node:path";

const types: Readonly<Record<string, string>> = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript",
  ".mjs": "text/javascript",
  ".css": "text/css",
  ".json": "application/json",
  ".wasm": "application/wasm",
  ".svg": "image/svg+xml",
};

export type FileServer = {
  url: string;
  /** The paths that were asked for, the latest last. */
  asked: string[];
  close(): void;
};

/** Serves `folders` below their names; that of the name "" at the root. */
export async function serveFiles(
  folders: Readonly<Record<string, string>>,
  headers: Readonly<Record<string, string>> = {},
): Promise<FileServer> {
  const asked: string[] = [];
  const server = createServer(async (request, response) => {
    const { pathname } = new URL(request.url ?? "/", "http://files");
    asked.push(pathname);
    const [, first = "", ...rest] = decodeURIComponent(pathname).split("/");
    const folder = folders[first] ?? folders[""];
    const below = folders[first] === undefined || first === "" ? [first, ...rest] : rest;
    const file = path.join(folder ?? "/nowhere", ...below, pathname.endsWith("/") ? "index.html" : "");
    const size = (await stat(file).catch(() => undefined))?.size;
    if (size === undefined) return void response.writeHead(404, headers).end();
    const type = { ...headers, "content-type": types[path.extname(file)] ?? "application/octet-stream" };
    const [, from, to] = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? "") ?? [];
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
