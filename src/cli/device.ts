/** @file The options of commands that choose where networks run, and what is said about it. */

import { type Command, InvalidArgumentError, Option } from "commander";
import {
  type Precision,
  parseDevice,
  parsePrecision,
  parseWeights,
  type WeightFormat,
} from "../engine/device.js";
import { InvalidRequest } from "../errors.js";
import type { FoundPlace, Placements } from "../jobs/placements.js";
import type { MoveTarget } from "../pipeline/device-pipeline.js";
import type { LoadOptions } from "../pipeline/load-options.js";
import { dim, yellow } from "./colors.js";
import { bytesOption } from "./numbers.js";

/** What the options give, under the library's names. */
export type DeviceFlags = Pick<
  LoadOptions,
  "device" | "dtype" | "weights" | "allowCpuFallback" | "allowSoftwareAdapter" | "deviceMemory"
>;

const [devices, types, formats] = [
  "cpu (default), webgpu, cuda, dml, coreml or auto",
  "arithmetic: float32 (default) or float16",
  "weights in memory: stored (default), int8 or int8-fast",
];

/** Adds the options to a command. */
export const withDeviceOptions = (command: Command): Command =>
  withPermissions(
    command
      .option("--device <name>", devices, deviceOption)
      .option("--dtype <type>", types, dtypeOption)
      .option("--weights <format>", formats, weightsOption),
  );

/** Those that permit what is refused are named by the refusal, and not in the help. */
const withPermissions = (command: Command): Command =>
  command
    .option("--device-memory <size>", "what may be taken there, such as 8GB", bytesOption)
    .addOption(new Option("--allow-cpu-fallback", "single operations may run on the CPU").hideHelp())
    .addOption(new Option("--allow-software-adapter", "a driver may compute on the CPU").hideHelp());

/** Values of an option that may be of one model alone, as in `nano=cpu`; "" is all others. */
export type PerModel<T> = Readonly<Record<string, T>>;

/** The same for several models: `--device auto --device nano=cpu`. */
export type PlacementFlags = Omit<DeviceFlags, "device" | "dtype" | "weights"> & {
  device?: PerModel<string>;
  dtype?: PerModel<Precision>;
  weights?: PerModel<WeightFormat>;
};

export const withPlacementOptions = (command: Command): Command =>
  withPermissions(
    command
      .option("--device <[model=]name>", devices, perModel(deviceOption))
      .option("--dtype <[model=]type>", types, perModel(dtypeOption))
      .option("--weights <[model=]format>", formats, perModel(weightsOption)),
  );

export const perModel =
  <T>(parse: (text: string) => T) =>
  (text: string, before: PerModel<T> = {}): PerModel<T> => {
    const at = text.lastIndexOf("=");
    const model = text.slice(0, Math.max(0, at));
    if (Object.hasOwn(before, model))
      throw new InvalidArgumentError(model === "" ? "It is given twice." : `"${model}" is given twice.`);
    return { ...before, [model]: parse(text.slice(at + 1)) };
  };

/** Where models are generated, as the server and the worker take it. */
export function placementFlags(options: PlacementFlags): Placements {
  const { device = {}, dtype = {}, weights = {}, ...others } = options;
  const of = (model: string): MoveTarget => ({
    ...(device[model] !== undefined && { device: device[model] }),
    ...(dtype[model] !== undefined && { dtype: dtype[model] }),
    ...(weights[model] !== undefined && { weights: weights[model] }),
  });
  const all = [device, dtype, weights].flatMap((perModel) => Object.keys(perModel));
  const named = [...new Set(all)].filter((name) => name !== "");
  const own = Object.fromEntries(named.map((name) => [name, of(name)]));
  return { ...deviceFlags(others), ...of(""), ...(named.length > 0 && { devices: own }) };
}

/** The device options among all options of a command. */
export function deviceFlags(options: DeviceFlags): DeviceFlags {
  const { device, dtype, weights, allowCpuFallback, allowSoftwareAdapter, deviceMemory } = options;
  const all = { device, dtype, weights, allowCpuFallback, allowSoftwareAdapter, deviceMemory };
  return Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined));
}

/** Where networks run and why; nothing where nothing but the CPU was asked for. */
export const deviceNote = (
  place: Pick<FoundPlace, "device" | "dtype" | "weights" | "deviceReason">,
  asked = "cpu",
): string | undefined => (asked === "cpu" ? undefined : `on ${placeText(place)}: ${place.deviceReason}`);

/** As in "cpu in float32 with int8 weights"; of weights as they are stored nothing is said. */
export function placeText(place: {
  device: string;
  dtype: string;
  weights?: WeightFormat | undefined;
}): string {
  const { device, dtype, weights = "stored" } = place;
  return `${device} in ${dtype}${weights === "stored" ? "" : ` with ${weights} weights`}`;
}

/** Says where models are generated, and what was asked for and is not so. */
export function notePlace(
  place: FoundPlace,
  print: (line: string) => void,
  warn = (message: string) => print(`${yellow("warning:")} ${message}`),
): void {
  const note = deviceNote(place, place.asked);
  if (note !== undefined) print(dim(note));
  place.warnings.forEach(warn);
}

export function deviceOption(name: string): string {
  checked(() => parseDevice(name));
  return name;
}

export const weightsOption = (name: string): WeightFormat => checked(() => parseWeights(name));

export const dtypeOption = (name: string): Precision => checked(() => parsePrecision(name));

function checked<T>(parse: () => T): T {
  try {
    return parse();
  } catch (error) {
    if (!(error instanceof InvalidRequest)) throw error;
    throw new InvalidArgumentError(`It ${error.rule}`);
  }
}
