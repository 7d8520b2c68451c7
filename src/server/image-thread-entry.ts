/** @file What runs in a thread that reads images: one task after the other, each answered before the next comes. */

import { parentPort } from "node:worker_threads";
import { plainError } from "../jobs/plain-error.js";
import { imageTasks } from "./image-tasks.js";
import type { FromImageThread, ToImageThread } from "./image-threads.js";

const port = parentPort!;

port.on("message", async ({ task, args }: ToImageThread) => {
  const run = imageTasks[task] as (...args: readonly unknown[]) => Promise<unknown>;
  try {
    const result = await run(...args);
    port.postMessage({ result } satisfies FromImageThread, transferred(result));
  } catch (error) {
    port.postMessage({ error: plainError(error) } satisfies FromImageThread);
  }
});

/** A file goes back without a copy. */
function transferred(result: unknown): ArrayBuffer[] {
  const bytes = typeof result === "object" && result !== null && "bytes" in result ? result.bytes : undefined;
  return bytes instanceof Uint8Array && bytes.buffer instanceof ArrayBuffer ? [bytes.buffer] : [];
}
