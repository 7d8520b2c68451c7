/** @file What ONNX Runtime throws as errors of ours, by the messages of its execution providers. */

import { DeviceLostError, DeviceMemoryError, EngineError } from "../../errors.js";
import type { Device } from "../device.js";

/** Dawn; DirectX's DEVICE_REMOVED, DEVICE_HUNG and DEVICE_RESET; CUDA's errors after which its context is of no use. */
const lost =
  /device (was |is |has been )?lost|is lost\.|DeviceLost|887A000[567]|device instance has been suspended|CUDA (failure|error) (46|700|702|719|999)\b|illegal memory access|unspecified launch failure/i;

/** ONNX Runtime's arenas; Dawn and Vulkan; CUDA; DirectX's E_OUTOFMEMORY. */
const full =
  /out of memory|OutOfMemory|OUT_OF_(DEVICE|HOST)_MEMORY|Failed to allocate memory for requested buffer|CUDA (failure|error) 2\b|8007000E|exceeds the max(imum)? (buffer size|storage buffer)/i;

/** The error of a program on a device. */
export function engineError(program: string, error: unknown, { name, provider }: Device): EngineError {
  if (error instanceof EngineError) return error;
  if (provider === "cpu") return new EngineError(program, error);
  const message = error instanceof Error ? error.message : String(error);
  const named = (rule: string) => new Error(`${rule} (${message.trim()})`, { cause: error });
  if (lost.test(message))
    return new DeviceLostError(
      program,
      named(
        `${name} was lost: its driver reset it or it was removed. Try again; what was loaded is loaded anew.`,
      ),
    );
  if (full.test(message))
    return new DeviceMemoryError(
      program,
      named(
        `${name} has no memory left for it. Choose a smaller size or batch, or close what else uses the device.`,
      ),
    );
  return new EngineError(program, error);
}
