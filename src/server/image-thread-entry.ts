/** @file A thread that runs the image tasks of requests for `image-threads.ts`. */

import { type Call, serveThread } from "../threads.js";
import { type ImageTasks, imageTasks } from "./image-tasks.js";

const methods = {
  run: async (
    { task, args }: { task: keyof ImageTasks; args: readonly unknown[] },
    { transfer }: Call,
  ): Promise<unknown> => {
    const run = imageTasks[task] as (...args: readonly unknown[]) => Promise<unknown>;
    const result = await run(...args);
    transfer(fileBuffers(result));
    return result;
  },
};

export type ImageThreadMethods = typeof methods;

serveThread(methods);

function fileBuffers(result: unknown): ArrayBuffer[] {
  const bytes = typeof result === "object" && result !== null && "bytes" in result ? result.bytes : undefined;
  return bytes instanceof Uint8Array && bytes.buffer instanceof ArrayBuffer ? [bytes.buffer] : [];
}
