/** @file The options of commands that choose where networks run, and what is said about it. */

import { type Command, InvalidArgumentError, Option } from "commander";
import { type Precision, parseDevice, parsePrecision } from "../engine/device.js";
import { InvalidRequest } from "../errors.js";
import type { LoadOptions } from "../pipeline/load-options.js";
import { bytesOption } from "./numbers.js";

/** What the options give, under the library's names. */
export type DeviceFlags = Pick<
  LoadOptions,
  "device" | "dtype" | "allowCpuFallback" | "allowSoftwareAdapter" | "deviceMemory"
>;

/** Adds the options to a command. Those that permit what is refused are named by the refusal, and not in the help. */
export const withDeviceOptions = (command: Command): Command =>
  command
    .option("--device <name>", "cpu (default), webgpu, cuda, dml, coreml or auto", deviceOption)
    .option("--dtype <type>", "arithmetic: float32 (default) or float16", dtypeOption)
    .option("--device-memory <size>", "what may be taken there, such as 8GB", bytesOption)
    .addOption(new Option("--allow-cpu-fallback", "single operations may run on the CPU").hideHelp())
    .addOption(new Option("--allow-software-adapter", "a driver may compute on the CPU").hideHelp());

/** The device options among all options of a command. */
export function deviceFlags(options: DeviceFlags): DeviceFlags {
  const { device, dtype, allowCpuFallback, allowSoftwareAdapter, deviceMemory } = options;
  const all = { device, dtype, allowCpuFallback, allowSoftwareAdapter, deviceMemory };
  return Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined));
}

/** Where networks run and why, if that is not the CPU by default. */
export function deviceNote(
  place: { device: string; dtype: Precision; deviceReason: string },
  asked: DeviceFlags,
): string | undefined {
  const { device, dtype, deviceReason } = place;
  if (device === "cpu" && (asked.device ?? "cpu") === "cpu") return undefined;
  return `on ${device} in ${dtype}: ${deviceReason}`;
}

/** What the first run on a device waits for, where that takes a while. */
export const compilingNote = (device: string): string | undefined =>
  device === "webgpu" ? "the first run compiles the shaders, which takes a while" : undefined;

export function deviceOption(name: string): string {
  checked(() => parseDevice(name));
  return name;
}

export const dtypeOption = (name: string): Precision => checked(() => parsePrecision(name));

function checked<T>(parse: () => T): T {
  try {
    return parse();
  } catch (error) {
    if (!(error instanceof InvalidRequest)) throw error;
    throw new InvalidArgumentError(`It ${error.message.slice(error.field.length + 2)}`);
  }
}
