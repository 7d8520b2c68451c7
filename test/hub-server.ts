/** @file A local server that speaks the Hub's HTTP API over files in memory, and fails where a test asks it to. */

import { createHash } from "node:crypto";
import { once } from "node:events";
import { readdirSync, readFileSync } from "node:fs";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import path from "node:path";

export type Files = ReadonlyMap<string, Buffer>;

/** `refs` leads from branches and tags to the commits of `commits`. */
export type Repo = {
  commits: Readonly<Record<string, Files>>;
  refs: Readonly<Record<string, string>>;
  /** Only this token may read it. */
  token?: string;
  /** Whether its refusals say "gated". */
  gated?: boolean;
};

type Asked = {
  method: string;
  path: string;
  range: string | undefined;
  token: string | undefined;
  cdn: boolean;
};

/**
 * What to do in place of the next good answers for paths that end in `path`, once each: cut after some bytes, fall
 * silent after some bytes, answer with a status, or send other bytes. `before` runs first. With `from` only of ranges that
 * begin at this byte.
 */
type Fault = { path: string; before?: () => void; from?: number } & (
  | { cut: number }
  | { silent: number }
  | { status: number; headers?: Record<string, string> }
  | { bytes: Buffer }
  | { wholeFile: true }
);

export type HubServer = {
  url: string;
  requests: Asked[];
  /** The paths of files whose bytes were requested. */
  downloads(): string[];
  faults: Fault[];
  repos: Record<string, Repo>;
  close(): Promise<void>;
};

/** Starts the Hub on one port and, as its files in LFS live elsewhere, their server on another. */
export async function startHub(repos: Record<string, Repo>): Promise<HubServer> {
  const state = { requests: [] as Asked[], faults: [] as Fault[], repos };
  const blobs = new Map<string, Buffer>();
  const cdn = createServer((request, response) => {
    if (preflight(request, response)) return;
    record(state.requests, request, true);
    const { pathname, searchParams } = new URL(request.url!, "http://cdn");
    send(request, response, blobs.get(pathname)!, `/${searchParams.get("file")}`, state.faults);
  });
  const cdnUrl = await listening(cdn);
  const hub = createServer((request, response) => {
    if (preflight(request, response)) return;
    record(state.requests, request, false);
    answer(request, response, { ...state, cdnUrl, blobs });
  });
  const url = await listening(hub);
  const close = async () => {
    for (const server of [hub, cdn]) {
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    }
  };
  const downloads = () =>
    state.requests.filter((a) => a.method === "GET" && a.path.includes("/resolve/")).map(fileOf);
  return Object.assign(state, { url, downloads, close });
}

/** Lets pages of other origins read the answer, as the Hub does; whether the request only asked for that. */
function preflight({ method }: IncomingMessage, response: ServerResponse): boolean {
  response.setHeader("access-control-allow-origin", "*");
  response.setHeader("access-control-allow-headers", "authorization, range");
  response.setHeader("access-control-expose-headers", "link, content-range");
  if (method === "OPTIONS") response.writeHead(204).end();
  return method === "OPTIONS";
}

const fileOf = ({ path }: Asked): string => path.replace(/^.*\/resolve\/[^/]+\//, "");

async function listening(server: ReturnType<typeof createServer>): Promise<string> {
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

function record(requests: Asked[], { method, url, headers }: IncomingMessage, cdn: boolean): void {
  const token = headers.authorization?.replace("Bearer ", "");
  requests.push({ method: method!, path: decodeURIComponent(url!), range: headers.range, token, cdn });
}

type State = { repos: Record<string, Repo>; faults: Fault[]; cdnUrl: string; blobs: Map<string, Buffer> };

function answer(request: IncomingMessage, response: ServerResponse, state: State): void {
  const { pathname, searchParams } = new URL(request.url!, `http://${request.headers.host}`);
  const api = /^\/api\/models\/([^/]+\/[^/]+)\/(revision|tree)\/([^/]+)$/.exec(pathname);
  const file = /^\/([^/]+\/[^/]+)\/resolve\/([^/]+)\/(.+)$/.exec(pathname);
  const [id, revision] = api ? [api[1]!, api[3]!] : [file?.[1] ?? "", file?.[2] ?? ""];
  const repo = state.repos[id];
  const denial = denied(repo, request, api?.[2] !== "revision");
  const commit = repo?.refs[decodeURIComponent(revision)] ?? revision;
  const files = repo?.commits[commit];
  const fault = state.faults.find((f) => "status" in f && pathname.endsWith(f.path));
  if (denial) refuse(response, ...denial);
  else if (!files) refuse(response, 404, "RevisionNotFound", `Invalid rev id: ${revision}`);
  else if (fault && "status" in fault) {
    state.faults.splice(state.faults.indexOf(fault), 1);
    response.writeHead(fault.status, fault.headers).end();
  } else if (api?.[2] === "revision") {
    const siblings = [...files.keys()].map((rfilename) => ({ rfilename }));
    const { gated = false } = repo!;
    json(response, { _id: "1", id, modelId: id, sha: commit, private: false, gated, siblings, tags: [] });
  } else if (api) {
    tree(request, response, files, Number(searchParams.get("cursor") ?? 0));
  } else {
    resolve(request, response, { files, name: decodeURIComponent(file![3]!), commit, ...state });
  }
}

type Denial = readonly [status: number, code: string, message: string] | undefined;

/** A gated model shows itself to all, but not its files. */
function denied(repo: Repo | undefined, { headers }: IncomingMessage, asksFiles: boolean): Denial {
  const token = headers.authorization?.replace("Bearer ", "");
  const may = repo !== undefined && (!repo.token || token === repo.token);
  if (may || (repo?.gated && !asksFiles)) return undefined;
  if (repo?.gated) return [token ? 403 : 401, "GatedRepo", "Access to this model is restricted."];
  return [token ? 404 : 401, "RepoNotFound", "Repository not found"];
}

const json = (response: ServerResponse, body: unknown) =>
  void response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(body));

function refuse(response: ServerResponse, status: number, code: string, message: string): void {
  response.writeHead(status, {
    "content-type": "application/json",
    "x-error-code": code,
    "x-error-message": message,
  });
  response.end(JSON.stringify({ error: message }));
}

const pageLength = 12;

function tree(request: IncomingMessage, response: ServerResponse, files: Files, from: number): void {
  const entries = [...files].map(([path, bytes]) => ({
    type: "file",
    path,
    size: bytes.length,
    oid: gitHash(bytes),
    ...(inLfs(path) && { lfs: { oid: sha256(bytes), size: bytes.length, pointerSize: 134 } }),
  }));
  const folders = [...new Set([...files.keys()].map((p) => path.posix.dirname(p)))].filter((p) => p !== ".");
  const all = [
    ...folders.map((path) => ({ type: "directory", path, size: 0, oid: "0".repeat(40) })),
    ...entries,
  ];
  const next = new URL(request.url!, `http://${request.headers.host}`);
  next.searchParams.set("cursor", String(from + pageLength));
  if (from + pageLength < all.length) response.setHeader("link", `<${next.href}>; rel="next"`);
  json(response, all.slice(from, from + pageLength));
}

type Resolving = {
  files: Files;
  name: string;
  commit: string;
  cdnUrl: string;
  blobs: State["blobs"];
  faults: Fault[];
};

function resolve(
  request: IncomingMessage,
  response: ServerResponse,
  { files, name, commit, ...state }: Resolving,
) {
  const bytes = files.get(name);
  response.setHeader("x-repo-commit", commit);
  if (!bytes) {
    refuse(response, 404, "EntryNotFound", "Entry not found");
    return;
  }
  if (!inLfs(name)) {
    response.setHeader("etag", `"${gitHash(bytes)}"`);
    send(request, response, bytes, `/${name}`, state.faults);
    return;
  }
  const hash = sha256(bytes);
  state.blobs.set(`/${hash}`, bytes);
  const location = `${state.cdnUrl}/${hash}?file=${encodeURIComponent(name)}`;
  response
    .writeHead(302, { location, "x-linked-etag": `"${hash}"`, "x-linked-size": String(bytes.length) })
    .end();
}

function send(
  request: IncomingMessage,
  response: ServerResponse,
  bytes: Buffer,
  name: string,
  faults: Fault[],
): void {
  const from = Number(/^bytes=(\d+)/.exec(request.headers.range ?? "")?.[1] ?? 0);
  const meant = (f: Fault) => name.endsWith(f.path) && (f.from ?? from) === from;
  const fault = request.method === "GET" ? faults.find(meant) : undefined;
  if (fault) faults.splice(faults.indexOf(fault), 1);
  fault?.before?.();
  const body = fault && "bytes" in fault ? fault.bytes : bytes;
  const range =
    fault && "wholeFile" in fault ? null : /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? "");
  const start = Number(range?.[1] ?? 0);
  const end = range?.[2] ? Number(range[2]) + 1 : body.length;
  if (range) response.setHeader("content-range", `bytes ${start}-${end - 1}/${body.length}`);
  response.writeHead(range ? 206 : 200, { "content-length": end - start });
  const part = body.subarray(start, end);
  if (request.method === "HEAD") response.end();
  else if (fault && "cut" in fault) response.write(part.subarray(0, fault.cut), () => response.socket?.end());
  else if (fault && "silent" in fault) response.write(part.subarray(0, fault.silent));
  else response.end(part);
}

export const inLfs = (name: string): boolean => /\.(safetensors|bin|ckpt)$/.test(name);

export const sha256 = (bytes: Buffer): string => createHash("sha256").update(bytes).digest("hex");

export const gitHash = (bytes: Buffer): string =>
  createHash("sha1").update(`blob ${bytes.length}\0`).update(bytes).digest("hex");

/** A folder's files, by their path in it. */
export function filesIn(folder: string): Map<string, Buffer> {
  const entries = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) =>
    entry.isFile(),
  );
  const paths = entries.map((entry) => path.join(entry.parentPath, entry.name)).sort();
  return new Map(
    paths.map((file) => [path.relative(folder, file).split(path.sep).join("/"), readFileSync(file)]),
  );
}
