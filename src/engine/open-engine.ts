/** @file Opens an engine on a device by its name: all that the rest of the project knows of which devices there are. */

import { InvalidRequest } from "../errors.js";
import type { Engine } from "./engine.js";
import { type DeviceOptions, type FoundDevice, findDevice } from "./find-device.js";
import { type BlockingEngine, blockingEngine, type EngineOptions } from "./ort/blocking-engine.js";
import { openWorkerEngine } from "./ort/worker-engine.js";

export type { DeviceOptions } from "./find-device.js";

/** What was opened: why this device, and what was asked for and is not so. */
export type Opened = Pick<FoundDevice, "reason" | "warnings">;

/** Opens an engine in a thread of its own; InvalidRequest for a device that this machine does not have. */
export async function openEngine(
  options: DeviceOptions & Pick<EngineOptions, "threads"> = {},
): Promise<Engine & Opened> {
  const { onnxRuntimeFolder: given } = options;
  if (given === undefined) return openWorkerEngine(options);
  const rule = `must be left out where there is no browser, got ${JSON.stringify(given)}`;
  throw new InvalidRequest("onnxRuntimeFolder", given, `${rule}. ONNX Runtime is a package of npm here.`);
}

/** Opens an engine in the calling thread, which its runs block: for training. */
export async function openBlockingEngine(
  options: DeviceOptions & Omit<EngineOptions, "device"> = {},
): Promise<BlockingEngine & Opened> {
  const { device, reason, warnings } = await findDevice(options);
  return { ...blockingEngine({ ...options, device }), reason, warnings };
}
