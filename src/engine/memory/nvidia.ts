/** @file The free memory of NVIDIA's GPUs, as `nvidia-smi` tells it. */

import { execFileSync } from "node:child_process";

const answers = new Map<number, number | undefined>();

/** Free bytes of an NVIDIA GPU when it was first asked for, before this process took any. */
export function nvidiaFree(index: number): number | undefined {
  if (!answers.has(index)) answers.set(index, askNvidia(index));
  return answers.get(index);
}

function askNvidia(index: number): number | undefined {
  const args = ["--query-gpu=memory.free", "--format=csv,noheader,nounits", "-i", String(index)];
  try {
    const text = execFileSync("nvidia-smi", args, {
      ...{ encoding: "utf8", timeout: 5000 },
      stdio: ["ignore", "pipe", "ignore"],
    });
    return mebibytes(text);
  } catch {
    return undefined; // there is no such program, or no such GPU
  }
}

/** The number in nvidia-smi's answer, "7821\n", in bytes. */
export function mebibytes(text: string): number | undefined {
  const [first = ""] = text.trim().split("\n");
  return /^\d+$/.test(first.trim()) ? Number(first) * 2 ** 20 : undefined;
}
