/** @file Where served models are generated: each on a device, which is found once, when a server or worker starts. */

import type { Precision, WeightFormat } from "../engine/device.js";
import { type DeviceOptions, openEngine } from "../engine/open-engine.js";
import { InvalidRequest, listed } from "../errors.js";
import type { MoveTarget } from "../pipeline/device-pipeline.js";
import { checkDeviceOptions } from "../pipeline/load-options.js";

/** Where models are generated, and which of them somewhere else; plain data, which can be sent to a thread. */
export type Placements = DeviceOptions & {
  /** Bytes of the device's memory that a model may take. */
  deviceMemory?: number;
  /** Models on a device, or in arithmetic, of their own, by id or name. */
  devices?: Readonly<Record<string, MoveTarget>>;
};

/** Where one model is generated. */
export type Placement = Omit<Placements, "devices">;

/** Throws an InvalidRequest that names the option. */
export function checkPlacements({ devices = {}, ...all }: Placements): void {
  checkDeviceOptions(all);
  for (const place of Object.values(devices)) checkDeviceOptions(place);
}

/** The placement of the model of this id, which may be named without its owner. */
export function placementOf({ devices = {}, ...all }: Placements, id: string): Placement {
  return { ...all, ...(devices[id] ?? devices[nameOf(id)]) };
}

const nameOf = (id: string) => id.slice(id.indexOf("/") + 1);

/** Refuses a placement of a model that is not among those of `ids`. */
export function checkPlaced({ devices = {} }: Placements, ids: readonly string[]): void {
  const known = new Set(ids.flatMap((id) => [id, nameOf(id)]));
  const unknown = Object.keys(devices).find((name) => !known.has(name));
  if (unknown === undefined) return;
  const rule = `must be given for a model of ${listed(ids, 20)}, got "${unknown}".`;
  throw new InvalidRequest("device", unknown, rule);
}

/** What was found of one device. */
export type FoundPlace = {
  /** The name that was asked for, such as "auto". */
  asked: string;
  device: string;
  dtype: Precision;
  weights: WeightFormat;
  deviceReason: string;
  /** What was asked for and is not so. */
  warnings: readonly string[];
};

/**
 * The same with what each device turned out to be, so that `auto` is decided once. `onFound` is called for each. Throws
 * what opening a device does.
 */
export async function findPlaces(
  { devices = {}, ...all }: Placements,
  onFound: (place: FoundPlace) => void = () => {},
): Promise<Placements> {
  const found = new Map<string, FoundPlace>();
  const find = async (options: DeviceOptions): Promise<MoveTarget> => {
    const key = JSON.stringify([options.device, options.dtype, options.weights]);
    const place = found.get(key) ?? (await opened(options));
    if (!found.has(key)) onFound(place);
    found.set(key, place);
    return { device: place.device, dtype: place.dtype, weights: place.weights };
  };
  const own: Record<string, MoveTarget> = {};
  for (const [name, place] of Object.entries(devices)) own[name] = await find({ ...all, ...place });
  return { ...all, ...(await find(all)), devices: own };
}

async function opened(options: DeviceOptions): Promise<FoundPlace> {
  const { device: name = "cpu", dtype: asked = "float32", weights = "stored" } = options;
  // The CPU is always there, and opening it would start a thread for nothing.
  if (name === "cpu" && asked === "float32")
    return { asked: name, device: name, dtype: asked, weights, deviceReason: "the CPU", warnings: [] };
  const engine = await openEngine(options);
  await engine.close();
  const { device, reason, warnings } = engine;
  const found = { device: device.name, dtype: device.dtype, weights: device.weights };
  return { asked: name, ...found, deviceReason: reason, warnings };
}
