/**
 * @file One queue for each graphics device and process: ONNX Runtime's WebGPU sessions share one device, and runs of two
 * of them at once end the process (onnxruntime issues 31627, 32561).
 */

import { sharedLocks } from "../../threads.js";
import { type Device, type Provider, providers } from "../device.js";

/** The last action of this thread on each device. */
const last = new Map<number, Promise<unknown>>();

/** Runs `action` when no other thread of this process, and nothing else in this one, uses the device. */
export function queued<T>(device: Device, action: () => Promise<T>): Promise<T> {
  if (device.provider === "cpu") return action();
  const lock = lockOf(device.provider);
  const turn = (last.get(lock) ?? Promise.resolve()).then(() => locked(lock, action));
  last.set(
    lock,
    turn.catch(() => {}),
  );
  return turn;
}

/** Of several devices of a provider only one computes at a time: the provider's own state is one for the process. */
const lockOf = (provider: Provider): number => providers.indexOf(provider);

async function locked<T>(lock: number, action: () => Promise<T>): Promise<T> {
  const locks = sharedLocks();
  // A run blocks its thread anyway, so the thread waits for those of others. Its own do not get here at once.
  while (Atomics.compareExchange(locks, lock, 0, 1) !== 0) Atomics.wait(locks, lock, 1);
  try {
    return await action();
  } finally {
    Atomics.store(locks, lock, 0);
    Atomics.notify(locks, lock, 1);
  }
}
