/** @file The app on a socket. */

import { once } from "node:events";
import type { Server } from "node:http";
import { type AddressInfo, isIP } from "node:net";
import { type ServerType, serve } from "@hono/node-server";
import type { OpenAPIHono } from "@hono/zod-openapi";
import { InvalidRequest } from "../errors.js";

export type Listening = { url: string; close: () => Promise<void> };

/** Listens until closed; port 0 takes any free one. InvalidRequest if the address cannot be had. */
export async function listen(app: OpenAPIHono, host: string, port: number): Promise<Listening> {
  const server = serve({
    fetch: app.fetch,
    hostname: host,
    port,
    // A request must have arrived within this time; its answer may take as long as generating does.
    serverOptions: { requestTimeout: 120_000, headersTimeout: 30_000 },
  });
  await listening(server, host, port);
  const bound = (server.address() as AddressInfo).port;
  return {
    url: `http://${isIP(host) === 6 ? `[${host}]` : host}:${bound}`,
    close: async () => {
      const closed = once(server, "close");
      server.close();
      (server as Server).closeIdleConnections();
      // Answers that are on their way get a moment to arrive.
      const hurry = setTimeout(() => (server as Server).closeAllConnections(), 1000);
      await closed;
      clearTimeout(hurry);
    },
  };
}

async function listening(server: ServerType, host: string, port: number): Promise<void> {
  if (server.listening) return;
  await once(server, "listening").catch((error: NodeJS.ErrnoException) => {
    if (error.code === "EADDRINUSE" || error.code === "EACCES") {
      const why = error.code === "EACCES" ? "this user may not open" : "another program uses";
      throw new InvalidRequest("--port", port, `must be free, got ${port}, which ${why}. Try --port 0.`);
    }
    if (error.code === "EADDRNOTAVAIL" || error.code === "ENOTFOUND") {
      throw new InvalidRequest("--host", host, `must be an address of this machine, got "${host}".`);
    }
    throw error;
  });
}
