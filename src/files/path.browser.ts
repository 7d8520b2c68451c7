/**
 * @file Paths of files in a browser: of the POSIX kind. A URL is a path too; of the two slashes in it joining leaves one,
 * and `file-system.browser.ts` reads it either way.
 */

import posix from "pathe";

/** As Node's, where a URL is absolute. */
export function resolve(...paths: string[]): string {
  const first = paths.findLastIndex((one) => /^https?:\//.test(one));
  return first < 0 ? posix.resolve(...paths) : posix.join(...paths.slice(first));
}

export const { basename, dirname, extname, join, normalize, parse } = posix;
export default { ...posix, resolve };
