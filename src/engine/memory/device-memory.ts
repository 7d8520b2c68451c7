/** @file How much of a device's memory may be taken, and from where that is known. */

import type { Device } from "../device.js";
import { availableMemory } from "./available.js";
import { nvidiaFree } from "./nvidia.js";

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

/**
 * The most bytes that the scores of composed attention may take at once on a device of so much memory: a 64th, of which
 * two are held, and no more than the device's own bound; at least 16 MiB.
 */
export function attentionBytes(device: Device, memory: number | undefined): number | undefined {
  const { attentionBytes: most } = device;
  if (most === undefined || memory === undefined) return most;
  return Math.min(most, Math.max(2 ** 24, Math.floor(memory / 64)));
}
