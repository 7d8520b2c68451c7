/** @file Addresses of a Redis: what may be one, and what of it may be shown. */

import { InvalidRequest } from "../../errors.js";

/** InvalidRequest for what is no address of a Redis. A password may be in it, so nothing of it is repeated. */
export function checkUrl(url: string): void {
  const refuse = (got: string, remedy: string) => {
    const rule = `must be an address such as redis://127.0.0.1:6379, got ${got}. ${remedy}`;
    throw new InvalidRequest("redis", undefined, rule);
  };
  const encode = "Write letters of a password such as @ : / ? # % as %40 %3A %2F %3F %23 %25.";
  if (!/^rediss?:\/\//i.test(url)) refuse("another beginning", "It begins with redis:// or rediss://.");
  if (!URL.canParse(url)) refuse("one that cannot be read", encode);
  const { username, password, pathname, search, hash } = new URL(url);
  // What follows such a letter in a password was taken for a path, and the password's start for the host.
  if (/@/.test(pathname + search + hash)) refuse("an @ behind the host", encode);
  if (!isEncoded(username) || !isEncoded(password)) refuse("a % that stands for no letter", encode);
}

function isEncoded(text: string): boolean {
  try {
    decodeURIComponent(text);
    return true;
  } catch {
    return false;
  }
}

/** The address without its user and password. */
export function addressOf(url: string): string {
  const { protocol, host, pathname } = new URL(url);
  return `${protocol}//${host}${pathname}`;
}
