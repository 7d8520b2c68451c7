/** @file The folder of what this package keeps on a machine and can make anew. */

import { homedir } from "node:os";
import path from "./path.js";

/**
 * $XDG_CACHE_HOME/koala-diffusion, on Windows in %LOCALAPPDATA%, else ~/.cache/koala-diffusion; undefined for a user
 * without a home, as in containers.
 */
export function cacheFolder(
  environment: Readonly<Record<string, string | undefined>> = process.env,
  home = homedir,
): string | undefined {
  const given = environment.XDG_CACHE_HOME || (process.platform === "win32" && environment.LOCALAPPDATA);
  try {
    return path.join(given || path.join(home(), ".cache"), "koala-diffusion");
  } catch {
    return undefined;
  }
}
