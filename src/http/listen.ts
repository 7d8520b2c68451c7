/** @file A Hono app as an HTTP server on an address and port. */

import { once } from "node:events";
import type { Server } from "node:http";
import { type AddressInfo, isIP } from "node:net";
import { type ServerType, serve } from "@hono/node-server";
import { InvalidRequest } from "../errors.js";

type App = { fetch: (request: Request) => Response | Promise<Response> };

export type Listening = { url: string; close: () => Promise<void> };

/** Listens until closed; port 0 takes any free port. Throws an InvalidRequest if the address cannot be used. */
export async function listen(app: App, host: string, port: number): Promise<Listening> {
  const server = serve({
    fetch: app.fetch,
    hostname: host,
    port,
    // Limits for receiving a request; its response may take as long as generating does.
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
      // Running responses get a moment to finish.
      const timer = setTimeout(() => (server as Server).closeAllConnections(), 1000);
      await closed;
      clearTimeout(timer);
    },
  };
}

async function listening(server: ServerType, host: string, port: number): Promise<void> {
  if (server.listening) return;
  await once(server, "listening").catch((error: NodeJS.ErrnoException) => {
    if (error.code === "EADDRINUSE" || error.code === "EACCES") {
      const why = error.code === "EACCES" ? "this user may not open" : "another program uses";
      throw new InvalidRequest(
        "port",
        port,
        `must be free, got ${port}, which ${why}. Port 0 is any free one.`,
      );
    }
    if (error.code === "EADDRNOTAVAIL" || error.code === "ENOTFOUND") {
      throw new InvalidRequest("host", host, `must be an address of this machine, got "${host}".`);
    }
    throw error;
  });
}
