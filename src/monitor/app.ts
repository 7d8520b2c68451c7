/** @file The HTTP routes of the monitor: its page, and the state, curves, images and events of one run. Read-only. */

import { type Context, Hono } from "hono";
import { streamSSE } from "hono/streaming";
import { FileError } from "../errors.js";
import { ifThere, readFile, stat } from "../files/file-system.js";
import { hostAllowed } from "../http/own-host.js";
import { type PageFiles, pageRoutes } from "../http/page-files.js";
import { securityHeaders } from "../http/security-headers.js";
import { type ScaleChoice, scaleChoices } from "./axis.js";
import { curvesSvg } from "./curves.js";
import type { PanelOptions } from "./panels.js";
import type { RunWatcher } from "./run-watcher.js";
import { samplePath } from "./samples.js";

export type MonitorAppOptions = { watcher: RunWatcher; page: PageFiles; host: string };

export function monitorApp({ watcher, page, host }: MonitorAppOptions): Hono {
  const app = new Hono();
  app.use(securityHeaders());
  app.use(async (c, next) => {
    if (!hostAllowed(c.req.header("host") ?? "", { host }))
      return c.text("host: must be this server's address.\n", 403);
    if (c.req.method === "GET" || c.req.method === "HEAD") return next();
    return c.text("method: must be GET or HEAD.\n", 405, { allow: "GET, HEAD" });
  });
  app.route("/", pageRoutes(page));
  if (!page.has("/")) app.get("/", (c) => c.text("The page is not built. /curves.svg shows the curves.\n"));
  app.get("/state.json", async (c) => {
    await watcher.refresh();
    return c.json(watcher.state());
  });
  app.get("/curves.json", async (c) => {
    await watcher.refresh();
    return c.json(watcher.panels(panelOptions(c)));
  });
  app.get("/curves.svg", async (c) => {
    await watcher.refresh();
    const svg = curvesSvg(watcher.rows(), { ...panelOptions(c), title: watcher.state().name });
    return c.body(svg, 200, {
      "content-type": "image/svg+xml; charset=utf-8",
      "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'",
    });
  });
  app.get("/samples/:step/:file", (c) => sample(c, watcher.folder));
  app.get("/events", (c) => events(c, watcher));
  app.notFound((c) => c.text("path: no such route.\n", 404));
  app.onError((error, c) =>
    c.text(`${error instanceof FileError ? error.message : `internal: ${error.message}`}\n`, 500),
  );
  return app;
}

/** Revalidated at every request, since another run may use the folder, but sent only once. */
async function sample(c: Context, folder: string): Promise<Response> {
  const file = samplePath(folder, `${c.req.param("step")}/${c.req.param("file")}`);
  const found = file ? await ifThere(() => stat(file)) : undefined;
  if (!file || !found?.isFile()) return c.notFound();
  const headers = { "cache-control": "no-cache", etag: `"${found.size}-${found.mtimeMs}"` };
  if (c.req.header("if-none-match") === headers.etag) return c.body(null, 304, headers);
  return c.body(new Uint8Array(await readFile(file)), 200, { ...headers, "content-type": "image/png" });
}

const heartbeatMs = 20_000;

/** Server-sent events `metrics`, `samples` and `problem`, each with its data as JSON. */
function events(c: Context, watcher: RunWatcher): Response {
  return streamSSE(c, async (stream) => {
    await stream.write("retry: 2000\n\n");
    const unsubscribe = watcher.subscribe(({ event, ...data }) => {
      void stream.writeSSE({ event, data: JSON.stringify(data) });
    });
    // Proxies and tunnels drop a silent connection.
    const heartbeat = setInterval(() => void stream.write(": heartbeat\n\n"), heartbeatMs);
    await new Promise<void>((resolve) => stream.onAbort(resolve));
    clearInterval(heartbeat);
    unsubscribe();
  });
}

/** `window` in percent of the run, and `scale`; invalid values are ignored, as those of a page of another version. */
function panelOptions(c: Context): PanelOptions {
  const percent = c.req.query("window");
  const window = percent === undefined ? Number.NaN : Number(percent) / 100;
  const scale = scaleChoices.find((name): name is ScaleChoice => name === c.req.query("scale"));
  return { ...(window >= 0 && window <= 1 && { window }), ...(scale && { scale }) };
}
