/** @file The check that a request's Host header names this server, which protects a local server from DNS rebinding. */

import { isIP } from "node:net";

export type OwnHosts = {
  /** The address that the server listens on. */
  host: string;
  /** Further names of the server, as behind a proxy. */
  allowHosts?: readonly string[];
};

/**
 * Whether a Host header names this server. A page elsewhere can make its own name resolve to this machine, but it cannot
 * make the browser send another Host than that name.
 */
export function hostAllowed(header: string, { host, allowHosts = [] }: OwnHosts): boolean {
  const name = /^(\[[0-9a-f:.]+\]|[^:[\]]+)(?::\d+)?$/i.exec(header)?.[1]?.toLowerCase();
  if (name === undefined) return false;
  const bare = name.replace(/^\[|\]$/g, "");
  const known = ["localhost", "127.0.0.1", "::1", host, ...allowHosts];
  if (known.some((other) => other.toLowerCase() === bare)) return true;
  // A server on all addresses does not know its own. An address, unlike a name, cannot be rebound.
  return ["0.0.0.0", "::"].includes(host) && isIP(bare) !== 0;
}
