/**
 * @file The address under which clients reach this server, as a trusted proxy forwards it. A proxy that is trusted must
 * overwrite these headers, as any client can send them.
 */

import type { Context } from "hono";

/** The first name of X-Forwarded-Host: of several proxies, that of the one which the client reached. */
export const forwardedHost = (c: Context): string | undefined => firstOf(c.req.header("x-forwarded-host"));

/** "https://koala.example": where this server's paths are to the client that asks. */
export function publicOrigin(c: Context, trustProxy: boolean): string {
  const own = new URL(c.req.url);
  if (!trustProxy) return own.origin;
  const scheme = firstOf(c.req.header("x-forwarded-proto"))?.toLowerCase();
  const isScheme = scheme === "http" || scheme === "https";
  return `${isScheme ? scheme : own.protocol.slice(0, -1)}://${forwardedHost(c) ?? own.host}`;
}

const firstOf = (header: string | undefined): string | undefined =>
  header?.split(",")[0]?.trim() || undefined;
