/** @file What `koala serve` and `koala worker` print and do while Redis or the system refuses them for a time. */

import { tooManyOpen } from "../files/file-errors.js";
import { addressOf } from "../jobs/redis/address.js";
import { outageOf } from "../jobs/redis/outage.js";
import { yellow } from "./colors.js";
import { printError } from "./terminal.js";

const againSeconds = 30;

/** Prints errors; of outages, which every connection reports at every attempt, each kind once in 30 seconds. */
export function outageReporter(url: string): (error: unknown) => void {
  let last: { got: string; time: number } | undefined;
  return (error) => {
    const outage = outageOf(error);
    if (!outage) return printError(error);
    const { got } = outage;
    if (last?.got === got && Date.now() - last.time < againSeconds * 1000) return;
    last = { got, time: Date.now() };
    process.stderr.write(`${yellow("waiting:")} got ${got} at ${addressOf(url)}\n`);
  };
}

/**
 * Repeats `open` while it fails because too many files are open, in this process or on the machine, up to `seconds`: a
 * worker that its supervisor starts beside others must not end for that.
 */
export async function whenFilesOpen<T>(
  open: () => Promise<T>,
  { seconds = 30, pauseMs = 1000 }: { seconds?: number; pauseMs?: number } = {},
): Promise<T> {
  const end = Date.now() + seconds * 1000;
  for (;;) {
    try {
      return await open();
    } catch (error) {
      if (!tooManyOpen(error) || Date.now() >= end) throw error;
      await new Promise((resolve) => setTimeout(resolve, pauseMs));
    }
  }
}
