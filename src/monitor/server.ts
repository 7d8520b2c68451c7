/** @file The local page of a run over HTTP. Reads one run folder, writes nothing, answers only its own host. */

import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { type AddressInfo, isIP } from "node:net";
import { FileError, InvalidRequest } from "../errors.js";
import { ifThere, readFile, stat } from "../files/file-system.js";
import type { ScaleChoice } from "./axis.js";
import { curvesSvg, panelSvg, plotOf } from "./curves.js";
import { page } from "./page.js";
import type { Panel, PanelOptions } from "./panels.js";
import { type News, RunWatcher } from "./run-watcher.js";
import { samplePath } from "./samples.js";

export type MonitorOptions = {
  /** 0 takes any free port. */
  port?: number;
  host?: string;
  /** How often the run's files are looked at. */
  everyMs?: number;
};

export type MonitorServer = { url: string; close: () => Promise<void> };

/** Serves the run in `folder` until closed; throws an InvalidRequest if it is no run or the port is taken. */
export async function serveMonitor(folder: string, options: MonitorOptions = {}): Promise<MonitorServer> {
  const { port = 7020, host = "127.0.0.1", everyMs = 1000 } = options;
  const watcher = await RunWatcher.open(folder, { everyMs });
  const server = createServer((request, response) => {
    answer(watcher, host, request, response).catch((error: Error) => {
      const what = error instanceof FileError ? error.message : `internal: ${error.message}`;
      if (!response.headersSent) send(response, 500, "text/plain", `${what}\n`);
      else response.destroy();
    });
  });
  await listen(server, port, host);
  const bound = (server.address() as AddressInfo).port;
  return {
    url: `http://${isIP(host) === 6 ? `[${host}]` : host}:${bound}/`,
    close: async () => {
      const closed = once(server, "close");
      server.close();
      server.closeAllConnections();
      await closed;
    },
  };
}

async function listen(server: Server, port: number, host: string): Promise<void> {
  server.listen(port, host);
  await once(server, "listening").catch((error: NodeJS.ErrnoException) => {
    if (error.code === "EADDRINUSE" || error.code === "EACCES") {
      const why = error.code === "EACCES" ? "this user may not open" : "another program uses";
      throw new InvalidRequest("port", port, `must be free, got ${port}, which ${why}. Try --port 0.`);
    }
    if (error.code === "EADDRNOTAVAIL" || error.code === "ENOTFOUND") {
      throw new InvalidRequest("host", host, `must be an address of this machine, got "${host}".`);
    }
    throw error;
  });
}

async function answer(
  watcher: RunWatcher,
  host: string,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  for (const [name, value] of Object.entries(protection)) response.setHeader(name, value);
  if (!hostAllowed(request.headers.host, host)) return send(response, 403, "text/plain", "foreign host\n");
  if (request.method !== "GET" && request.method !== "HEAD") {
    response.setHeader("allow", "GET, HEAD");
    return send(response, 405, "text/plain", "only GET and HEAD\n");
  }
  // Not `new URL(target, base)`: that resolves "..", and "//host" would become another host's address.
  const [path = "", query = ""] = (request.url ?? "").split("?", 2);
  if (path.startsWith("/samples/")) return sendSample(watcher.folder, path, request, response);
  switch (path) {
    case "/":
      return sendPage(response);
    case "/state.json":
      await watcher.refresh();
      return send(response, 200, "application/json", JSON.stringify(watcher.state()));
    case "/curves.json": {
      const drawn = watcher.panels(panelOptions(query)).map(drawnPanel);
      return send(response, 200, "application/json", JSON.stringify(drawn));
    }
    case "/curves.svg": {
      await watcher.refresh();
      const svg = curvesSvg(watcher.rows(), { ...panelOptions(query), title: watcher.state().name });
      response.setHeader("content-security-policy", "default-src 'none'; style-src 'unsafe-inline'");
      return send(response, 200, "image/svg+xml", svg);
    }
    case "/events":
      return sendEvents(watcher, request, response);
    default:
      return send(response, 404, "text/plain", "not found\n");
  }
}

const protection = {
  "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
  "cross-origin-opener-policy": "same-origin",
  "cross-origin-resource-policy": "same-origin",
  "referrer-policy": "no-referrer",
  "x-content-type-options": "nosniff",
  "cache-control": "no-store",
};

/**
 * Whether a request was meant for this server. A page elsewhere can make its own name resolve to 127.0.0.1 (DNS
 * rebinding) and would then read the run; it cannot make the browser send another Host than that name.
 */
export function hostAllowed(header: string | undefined, listening: string): boolean {
  const name = header?.match(/^(\[[0-9a-f:.]+\]|[^:[\]]+)(?::\d+)?$/i)?.[1]?.toLowerCase();
  if (name === undefined) return false;
  const bare = name.replace(/^\[|\]$/g, "");
  if (["localhost", "127.0.0.1", "::1", listening.toLowerCase()].includes(bare)) return true;
  // Listening on every address, the server does not know which one it was reached by; none can be rebound.
  return ["0.0.0.0", "::"].includes(listening) && isIP(bare) !== 0;
}

function send(response: ServerResponse, status: number, type: string, body: string | Buffer): void {
  const charset = type.startsWith("image/png") ? "" : "; charset=utf-8";
  response.writeHead(status, { "content-type": type + charset, "content-length": Buffer.byteLength(body) });
  response.end(response.req.method === "HEAD" ? undefined : body);
}

function sendPage(response: ServerResponse): void {
  const nonce = randomBytes(18).toString("base64");
  response.setHeader(
    "content-security-policy",
    `default-src 'none'; script-src 'nonce-${nonce}'; style-src 'nonce-${nonce}'; img-src 'self' data:; ` +
      "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  );
  send(response, 200, "text/html", page(nonce));
}

/** The browser asks again each time, as another run may use the folder, but is sent an image only once. */
async function sendSample(folder: string, path: string, request: IncomingMessage, response: ServerResponse) {
  const file = samplePath(folder, path.slice("/samples/".length));
  const found = file ? await ifThere(() => stat(file)) : undefined;
  if (!file || !found?.isFile()) return send(response, 404, "text/plain", "not found\n");
  const tag = `"${found.size}-${found.mtimeMs}"`;
  response.setHeader("cache-control", "no-cache");
  response.setHeader("etag", tag);
  if (request.headers["if-none-match"] === tag) {
    response.writeHead(304).end();
    return;
  }
  send(response, 200, "image/png", await readFile(file));
}

/** Server-sent events: `metrics`, `samples`, `problem`, each with its data as JSON. */
function sendEvents(watcher: RunWatcher, request: IncomingMessage, response: ServerResponse): void {
  response.writeHead(200, { "content-type": "text/event-stream; charset=utf-8" });
  if (request.method === "HEAD") {
    response.end();
    return;
  }
  response.write("retry: 2000\n\n");
  const unsubscribe = watcher.subscribe(({ event, ...data }: News) => {
    response.write(`event: ${event}\ndata: ${JSON.stringify(data)}\n\n`);
  });
  // Proxies and tunnels drop a silent connection.
  const heartbeat = setInterval(() => response.write(": still here\n\n"), 20_000);
  response.on("close", () => {
    clearInterval(heartbeat);
    unsubscribe();
  });
}

const panelBox = { x: 0, y: 0, width: 380, height: 210 };

/** A panel for the page: its image, and the numbers that a pointer or the arrow keys read off it. */
function drawnPanel(panel: Panel) {
  const { key, title, scale, firstStep, lastStep, training, validation } = panel;
  const { width, height } = panelBox;
  return {
    ...{ key, title, scale, firstStep, lastStep, width, height, plot: plotOf(panelBox), validation },
    svg: panelSvg(panel, panelBox),
    points: training.map(({ step, value, smooth }) => [step, value, smooth]),
  };
}

const scales: readonly ScaleChoice[] = ["auto", "linear", "log"];

/** `window` in percent of the run, `scale` as named; what is not understood is the default, as a page's age may differ. */
function panelOptions(query: string): PanelOptions {
  const given = new URLSearchParams(query);
  const window = given.has("window") ? Number(given.get("window")) / 100 : Number.NaN;
  const scale = scales.find((name) => name === given.get("scale"));
  return {
    ...(window >= 0 && window <= 1 ? { window } : {}),
    ...(scale ? { scale } : {}),
  };
}
