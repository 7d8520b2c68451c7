/**
 * @file Who may speak to this server: pages of other sites may not, neither through a visitor's browser nor through a
 * name that they make resolve to this machine (DNS rebinding); with a key set, nobody without it.
 */

import { createHash, timingSafeEqual } from "node:crypto";
import type { Context, MiddlewareHandler } from "hono";
import { hostAllowed, type OwnHosts } from "../http/own-host.js";
import { HttpError } from "./problem.js";

export type GuardOptions = OwnHosts & {
  /** Origins of pages that may use the API from another site: CORS, which is otherwise off. */
  allowOrigins?: readonly string[];
  /** Asked of everyone if set. */
  key?: string;
};

/** Refuses foreign hosts and origins, and answers the preflights of allowed ones. */
export function ownVisitors(options: GuardOptions): MiddlewareHandler {
  const { allowOrigins = [] } = options;
  return async (c, next) => {
    const host = hostOf(c);
    if (!hostAllowed(host, options)) {
      throw foreign(
        "host",
        host,
        "This server is reached by the address it was started with, or --allow-host.",
      );
    }
    const origin = c.req.header("origin");
    const allowed = origin !== undefined && allowOrigins.includes(origin);
    if (!allowed && isForeign(c, origin, host)) {
      throw foreign(
        "origin",
        origin ?? "another site",
        "Pages of other sites may not use this server: --allow-origin.",
      );
    }
    if (!allowed) return next();
    if (c.req.method === "OPTIONS") return preflight(c, origin);
    await next();
    corsHeaders(c.res.headers, origin);
    return undefined;
  };
}

/** Asks for the key, unless the path is public. */
export function keyRequired(key: string, isPublic: (c: Context) => boolean): MiddlewareHandler {
  const wanted = digest(key);
  return async (c, next) => {
    if (isPublic(c)) return next();
    const given = keyGiven(c.req.header("authorization"));
    if (given !== undefined && timingSafeEqual(digest(given), wanted)) return next();
    const rule = `must be "Bearer" and this server's key, got ${given === undefined ? "none" : "another"}.`;
    throw new HttpError({
      status: 401,
      code: "unauthorized",
      message: `authorization: ${rule}`,
      headers: { "www-authenticate": 'Bearer, Basic realm="koala"' },
    });
  };
}

const digest = (text: string) => createHash("sha256").update(text).digest();

/** From `Bearer KEY`, or from Basic, whose password it is: A1111's clients know only that. */
function keyGiven(header: string | undefined): string | undefined {
  const [, scheme, rest] = /^(bearer|basic) +(.+)$/i.exec(header ?? "") ?? [];
  if (scheme === undefined || rest === undefined) return undefined;
  if (scheme.toLowerCase() === "bearer") return rest;
  const pair = Buffer.from(rest, "base64").toString("utf8");
  return pair.slice(pair.indexOf(":") + 1);
}

const hostOf = (c: Context): string => c.req.header("host") ?? new URL(c.req.url).host;

/** By `Origin`, or where browsers leave it out by `Sec-Fetch-Site`; typing or following an address is nobody's page. */
function isForeign(c: Context, origin: string | undefined, host: string): boolean {
  if (origin !== undefined) return !sameHost(origin, host);
  const site = c.req.header("sec-fetch-site");
  if (site === undefined || site === "same-origin" || site === "none") return false;
  const visits = c.req.header("sec-fetch-mode") === "navigate" && ["GET", "HEAD"].includes(c.req.method);
  return !visits;
}

function sameHost(origin: string, host: string): boolean {
  // Not the scheme: behind a proxy that ends TLS the page says https where this server is spoken to in http.
  try {
    return new URL(origin).host === host.toLowerCase();
  } catch {
    return false;
  }
}

function foreign(what: string, got: string, remedy: string): HttpError {
  const message = `${what}: must be this server's own, got ${JSON.stringify(got.slice(0, 200))}. ${remedy}`;
  return new HttpError({ status: 403, code: "forbidden", message });
}

function preflight(c: Context, origin: string): Response {
  const headers = new Headers({
    "access-control-allow-methods": "GET, HEAD, POST, DELETE",
    "access-control-allow-headers": "authorization, content-type, last-event-id",
    "access-control-max-age": "600",
  });
  corsHeaders(headers, origin);
  return c.newResponse(null, { status: 204, headers: Object.fromEntries(headers) });
}

function corsHeaders(headers: Headers, origin: string): void {
  headers.set("access-control-allow-origin", origin);
  headers.set("access-control-expose-headers", "location, retry-after");
  headers.append("vary", "origin");
}
