/**
 * @file Who may use this server: neither pages of other sites, be it through a visitor's browser or by DNS rebinding,
 * nor, with a key set, clients without it.
 */

import { createHash, timingSafeEqual } from "node:crypto";
import type { Context, MiddlewareHandler } from "hono";
import { cors } from "hono/cors";
import { hostAllowed, type OwnHosts } from "../http/own-host.js";
import { forwardedHost } from "./forwarded.js";
import { HttpError } from "./problem.js";

export type GuardOptions = OwnHosts & {
  /** Origins of pages that may use the API from another site: CORS, which is otherwise off. */
  allowOrigins?: readonly string[];
  /** Whether X-Forwarded-Proto and X-Forwarded-Host are a proxy's, which overwrites what clients send. */
  trustProxy?: boolean;
  /** Required of every request but those for public paths. */
  key?: string;
};

/** Refuses requests under foreign Host names and from foreign origins. */
export function rejectForeign(options: GuardOptions): MiddlewareHandler {
  const { allowOrigins = [], trustProxy = false } = options;
  return async (c, next) => {
    const own = c.req.header("host") ?? new URL(c.req.url).host;
    // Both: a page that is rebound to this machine can send the second itself.
    const host = (trustProxy ? forwardedHost(c) : undefined) ?? own;
    for (const name of [own, host])
      if (!hostAllowed(name, options))
        throw foreign("host", name, "Its operator can allow this name (--allow-host, allowHosts).");
    const origin = c.req.header("origin");
    const allowed = origin !== undefined && allowOrigins.includes(origin);
    if (!allowed && isForeign(c, origin, host))
      throw foreign(
        "origin",
        origin ?? "another site",
        "Its operator can allow pages of another site (--allow-origin, allowOrigins).",
      );
    return next();
  };
}

/** Lets pages of these origins use the API. */
export const allowedOrigins = (origins: readonly string[]): MiddlewareHandler =>
  cors({
    origin: [...origins],
    allowMethods: ["GET", "HEAD", "POST", "DELETE"],
    allowHeaders: ["authorization", "content-type", "last-event-id"],
    exposeHeaders: ["location", "retry-after"],
    maxAge: 600,
  });

/** Requires the key, unless the path is public. */
export function requireKey(key: string, isPublic: (c: Context) => boolean): MiddlewareHandler {
  const wanted = digest(key);
  return async (c, next) => {
    if (isPublic(c)) return next();
    const given = keyOf(c.req.header("authorization"));
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
function keyOf(header: string | undefined): string | undefined {
  const [, scheme, rest] = /^(bearer|basic) +(.+)$/i.exec(header ?? "") ?? [];
  if (scheme === undefined || rest === undefined) return undefined;
  if (scheme.toLowerCase() === "bearer") return rest;
  const pair = Buffer.from(rest, "base64").toString("utf8");
  return pair.slice(pair.indexOf(":") + 1);
}

/** By `Origin`, or where browsers leave it out by `Sec-Fetch-Site`; an address that is typed or followed is no page's. */
function isForeign(c: Context, origin: string | undefined, host: string): boolean {
  if (origin !== undefined) return !sameHost(origin, host);
  const site = c.req.header("sec-fetch-site");
  if (site === undefined || site === "same-origin" || site === "none") return false;
  const navigates = c.req.header("sec-fetch-mode") === "navigate" && ["GET", "HEAD"].includes(c.req.method);
  return !navigates;
}

function sameHost(origin: string, host: string): boolean {
  // Not the scheme: behind a proxy that ends TLS the page says https where requests arrive here in http.
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
