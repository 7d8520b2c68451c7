/** @file Opens an engine on a device by its name: all that the rest of the project knows of which devices there are. */

import { EngineError } from "../errors.js";
import { type Device, deviceOf, type Precision, parseDevice, parsePrecision } from "./device.js";
import type { Engine } from "./engine.js";
import { type BlockingEngine, blockingEngine, type EngineOptions } from "./ort/blocking-engine.js";
import { workerEngine } from "./ort/worker-engine.js";

export type DeviceOptions = {
  /** `cpu` (default), `webgpu`, `cuda`, `dml`, `coreml`, one of several as in `cuda:1`, or `auto`, the best there is. */
  device?: string;
  /** The type of the arithmetic: `float32` (default) or `float16`. */
  dtype?: Precision;
  /** Lets operations that the device has no kernel for run on the CPU, with a warning. By default that is an error. */
  allowCpuFallback?: boolean;
  /** Takes a graphics driver that computes on the CPU, such as lavapipe. By default that is an error. */
  allowSoftwareAdapter?: boolean;
};

/** What was opened. */
export type Opened = {
  /** Why this device, in one sentence. */
  readonly reason: string;
  /** What was asked for and is not so. */
  readonly warnings: readonly string[];
};

type FoundDevice = Opened & { readonly device: Device };

/** Opens an engine in a thread of its own; InvalidRequest for a name that no device has, EngineError where it is missing. */
export async function openEngine(
  options: DeviceOptions & Pick<EngineOptions, "threads"> = {},
): Promise<Engine & Opened> {
  const { device, reason, warnings } = await findDevice(options);
  const { threads = 0 } = options;
  return { ...workerEngine({ threads, device }), reason, warnings };
}

/** Opens an engine in the calling thread, which its runs block: for training. */
export async function openBlockingEngine(
  options: DeviceOptions & Omit<EngineOptions, "device"> = {},
): Promise<BlockingEngine & Opened> {
  const { device, reason, warnings } = await findDevice(options);
  return { ...blockingEngine({ ...options, device }), reason, warnings };
}

async function findDevice({
  device: name = "cpu",
  dtype: asked = "float32",
}: DeviceOptions): Promise<FoundDevice> {
  const request = parseDevice(name);
  const dtype = parsePrecision(asked);
  if (request === "auto" || request.provider === "cpu") {
    const warnings = dtype === "float32" ? [] : [noHalfOnCpu];
    return { device: deviceOf("cpu"), reason: "the CPU", warnings };
  }
  if (request.provider !== "webgpu")
    throw new EngineError("device", new Error(`${name} cannot be opened yet. Use "cpu" or "webgpu".`));
  const device = { ...deviceOf(request.provider, { ...request, dtype }), fusedAttention: false };
  return { device, reason: "asked for", warnings: [] };
}

const noHalfOnCpu =
  "dtype: float16 has no arithmetic of its own on the cpu, so float32 is used, which is at least as exact.";
