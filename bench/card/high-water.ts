/** @file The highest memory of a process, or of the device that it computes on, as far as something tells. */

import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { promisify } from "node:util";
import { mebibytes } from "../../src/engine/memory/nvidia.js";

/** Bytes, and what they are of; absent where nothing tells. */
export type MemoryReading = { highWater?: number; of: string };

const run = promisify(execFile);

/**
 * Begins to watch; the function that it gives ends that. The CPU's is the process's highest resident size. A GPU's is
 * nvidia-smi's, twice a second, less what was taken before: nobody else may use that GPU. Software Vulkan keeps what a
 * GPU would hold in shared memory.
 */
export function highWater({
  provider,
  index,
}: {
  provider: string;
  index: number;
}): () => Promise<MemoryReading> {
  if (provider === "cpu") {
    return async () => ({ highWater: 1024 * process.resourceUsage().maxRSS, of: "the process" });
  }
  const watched = { nvidia: most(() => nvidiaUsed(index)), shared: most(async () => sharedBytes()) };
  return async () => {
    const [nvidia, shared] = [await watched.nvidia(), await watched.shared()];
    if (nvidia !== undefined) return { highWater: nvidia, of: "the GPU" };
    return shared ? { highWater: shared, of: "shared memory" } : { of: "not known" };
  };
}

/** The highest of a value that is read twice a second, above its first. */
function most(read: () => Promise<number | undefined>): () => Promise<number | undefined> {
  const first = read();
  let highest = 0;
  const look = async () => {
    highest = Math.max(highest, (await read()) ?? 0);
  };
  const timer = setInterval(look, 500);
  return async () => {
    clearInterval(timer);
    await look();
    const before = await first;
    return before === undefined ? undefined : highest - before;
  };
}

async function nvidiaUsed(index: number): Promise<number | undefined> {
  const args = ["--query-gpu=memory.used", "--format=csv,noheader,nounits", "-i", String(index)];
  try {
    return mebibytes((await run("nvidia-smi", args, { timeout: 5000 })).stdout);
  } catch {
    return undefined; // there is no such program, or no such GPU
  }
}

function sharedBytes(): number | undefined {
  if (process.platform !== "linux") return undefined;
  return 1024 * Number(/RssShmem:\s+(\d+)/.exec(readFileSync("/proc/self/status", "utf8"))?.[1] ?? 0);
}
