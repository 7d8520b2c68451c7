/** @file How much of a device's memory may be taken, and from where that is known. */

import { execFileSync } from "node:child_process";
import type { Device } from "../device.js";
import { availableMemory } from "./available.js";

/** `bytes` is undefined where nothing tells. */
export type DeviceMemory = { bytes: number | undefined; source: string };

/**
 * What this process may take of a device's memory: what was given, else the machine's memory on the CPU, with the `held`
 * bytes that it has, else what `nvidia-smi` says. No other program can be asked by Node.
 */
export function deviceMemory(
  device: Device,
  { given, held = 0 }: { given?: number | undefined; held?: number } = {},
): DeviceMemory {
  if (device.provider === "cpu") {
    const bytes = Math.min(availableMemory() + held, given ?? Infinity);
    return { bytes, source: given === bytes ? "as given" : "of the machine" };
  }
  if (given !== undefined) return { bytes: given, source: "as given" };
  const free = device.provider === "coreml" ? undefined : nvidiaFree(device.index);
  if (free !== undefined) return { bytes: free, source: "by nvidia-smi" };
  return { bytes: undefined, source: "not known: give --device-memory, such as 8GB" };
}

const answers = new Map<number, number | undefined>();

/** Free bytes of an NVIDIA GPU when it was first asked for, before this process took any. */
function nvidiaFree(index: number): number | undefined {
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

/**
 * The most bytes that the scores of composed attention may take at once on a device of so much memory: a 64th, of which
 * two are held, and no more than the device's own bound; at least 16 MiB.
 */
export function attentionBytes(device: Device, memory: number | undefined): number | undefined {
  const { attentionBytes: most } = device;
  if (most === undefined || memory === undefined) return most;
  return Math.min(most, Math.max(2 ** 24, Math.floor(memory / 64)));
}
