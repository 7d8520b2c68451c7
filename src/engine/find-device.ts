/** @file Finds the device that is asked for by name, or the best that there is. */

import { InvalidRequest } from "../errors.js";
import {
  type Device,
  deviceOf,
  type Precision,
  parseDevice,
  parsePrecision,
  parseWeights,
  type WeightFormat,
} from "./device.js";
import type { Examined } from "./devices/examine.js";
import type { Machine } from "./devices/machine.js";
import { describe } from "./devices/self-test-result.js";
import { thisMachine } from "./devices/this-machine.js";

export type DeviceOptions = {
  /** `cpu` (default), `webgpu`, `cuda`, `dml`, `coreml`, one of several as in `cuda:1`, or `auto`, the best there is. */
  device?: string;
  /** The type of the arithmetic: `float32` (default) or `float16`. */
  dtype?: Precision;
  /** How weights are held: `stored` (default), or `int8` or `int8-fast`, which the CPU alone has. */
  weights?: WeightFormat;
  /** Lets operations that the device has no kernel for run on the CPU, with a warning. By default that is an error. */
  allowCpuFallback?: boolean;
  /** Takes a graphics driver that computes on the CPU, such as lavapipe. By default that is an error. */
  allowSoftwareAdapter?: boolean;
  /** In a browser the URL of the folder with ONNX Runtime's files; where the bundler put them if left out. */
  onnxRuntimeFolder?: string;
};

export type FoundDevice = {
  readonly device: Device;
  /** Why this device, and its adapter where the system tells, in one sentence. */
  readonly reason: string;
  /** What was asked for and is not so. */
  readonly warnings: readonly string[];
};

/** Loaded where a device is examined: most use the CPU. */
const examine = async (...of: Parameters<typeof import("./devices/examine.js").examine>) =>
  (await import("./devices/examine.js")).examine(...of);

/**
 * Opens the device for a moment and tests it, unless it is the CPU; InvalidRequest where it does not exist, is missing,
 * or fails. To be called where its programs will run, since it blocks the thread.
 */
export async function findDevice(
  options: DeviceOptions,
  machine: Machine = thisMachine,
): Promise<FoundDevice> {
  const cpu = findCpu(options);
  if (cpu) return cpu;
  const { device: name = "cpu", dtype: asked = "float32", weights: format, ...allowed } = options;
  const request = parseDevice(name);
  const dtype = parsePrecision(asked);
  if (request === "auto") return bestDevice({ dtype, ...allowed }, machine);
  const weights = parseWeights(format ?? "stored");
  if (weights !== "stored") refuseWeights(weights, name);
  const found = await examine(request.provider, { ...allowed, dtype, index: request.index }, machine);
  if (found.problem !== undefined)
    throw new InvalidRequest(
      "device",
      name,
      `must be one that this machine has, got "${name}": ${found.problem}`,
    );
  return onDevice(found, ["asked for"]);
}

/** The CPU, where the options leave no other choice: known without looking at the machine. */
export function findCpu(options: DeviceOptions): FoundDevice | undefined {
  const { device: name = "cpu", dtype: asked = "float32", weights: format = "stored" } = options;
  const request = parseDevice(name);
  const [dtype, weights] = [parsePrecision(asked), parseWeights(format)];
  if (request === "auto")
    return weights === "stored"
      ? undefined
      : onCpu(`the only device with ${weights} weights`, dtype, weights);
  return request.provider === "cpu" ? onCpu("asked for", dtype, weights) : undefined;
}

async function bestDevice(
  {
    dtype,
    ...allowed
  }: { dtype: Precision } & Pick<DeviceOptions, "allowCpuFallback" | "allowSoftwareAdapter">,
  machine: Machine,
): Promise<FoundDevice> {
  let skipped: string[] = [];
  // A graphics card without half precision is still faster than the CPU, which has none either.
  for (const type of dtype === "float16" ? (["float16", "float32"] as const) : [dtype]) {
    skipped = [];
    for (const provider of machine.best) {
      const found = await examine(provider, { ...allowed, dtype: type }, machine);
      if (found.problem !== undefined) skipped.push(`${provider}: ${firstSentence(found.problem)}`);
      else return onDevice(found, ["the best device that passed its self-test", ...skipped], dtype);
    }
  }
  return onCpu(["no other device can be used", ...skipped].join("; "), dtype);
}

/** Says that a device other than the CPU has no quantised weights; InvalidRequest. */
export function refuseWeights(weights: WeightFormat, device: string): never {
  const rule = `must be stored on ${device}, got ${weights}, which the cpu alone has`;
  throw new InvalidRequest("weights", weights, `${rule}. Leave it out, or use the cpu.`);
}

const onDevice = (
  found: Examined,
  reasons: readonly string[],
  asked: Precision = found.device.dtype,
): FoundDevice => ({
  device: found.device,
  reason: [...reasons, ...(found.adapter ? [`computed by ${found.adapter}`] : [])].join("; "),
  warnings: [...dtypeWarnings(found.device, asked), ...composedWarnings(found)],
});

const onCpu = (reason: string, asked: Precision, weights: WeightFormat = "stored"): FoundDevice => {
  const device = deviceOf("cpu", { weights });
  return { device, reason, warnings: dtypeWarnings(device, asked) };
};

const dtypeWarnings = ({ name, dtype }: Device, asked: Precision): string[] =>
  dtype === asked
    ? []
    : [
        `dtype: ${asked} has no arithmetic of its own on ${name} here, so ${dtype} is used, which is at least as exact.`,
      ];

/** Fused operators that failed are replaced, which costs time and nothing else. */
const composedWarnings = ({ device, selfTest }: Examined): string[] =>
  Object.values(selfTest?.fused ?? {})
    .filter(({ passed }) => !passed)
    .map((check) => `device: on ${device.name} ${describe(check)}, so it is not used; that is slower.`);

/** The rest is remedies. */
const firstSentence = (text: string): string => text.split(/\.(?=\s|$)/)[0]!;
