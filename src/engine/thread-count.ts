/** @file The rule for the number of threads of one operation, for every function and command that has it as an option. */

import { InvalidRequest } from "../errors.js";
import { cores } from "./cores.js";

/**
 * Refuses what is neither 0, for one per core, nor a whole number up to four per core: threads beyond that only wait for
 * each other, and every network starts as many. InvalidRequest.
 */
export function checkThreads(threads: unknown): void {
  const most = 4 * cores();
  if (Number.isInteger(threads) && Number(threads) >= 0 && Number(threads) <= most) return;
  const rule = `must be a whole number from 0 to ${most}, four per core of this machine, got ${String(threads)}.`;
  throw new InvalidRequest("threads", threads, `${rule} 0 is one per core.`);
}
