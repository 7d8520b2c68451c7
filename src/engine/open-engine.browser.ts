/** @file Opens an engine in a browser by the name of its device. */

import { InvalidRequest } from "../errors.js";
import { parseDevice, wasm } from "./device.js";
import type { Engine } from "./engine.js";
import type { DeviceOptions } from "./find-device.js";
import type { Opened } from "./open-engine.js";
import { webEngine } from "./ort/web-engine.browser.js";

export type { DeviceOptions } from "./find-device.js";

/** Opens an engine; InvalidRequest for a device that a browser does not have. */
export async function openEngine({
  device = "cpu",
  dtype = "float32",
  weights = "stored",
  threads = 0,
}: DeviceOptions & { threads?: number } = {}): Promise<Engine & Opened> {
  const wanted = parseDevice(device);
  const refuse = (field: string, got: string, only: string): never => {
    const rule = `must be ${only} in a browser, where networks run by WebAssembly, got ${got}`;
    throw new InvalidRequest(field, got, `${rule}. Leave it out.`);
  };
  if (wanted !== "auto" && wanted.provider !== "cpu") refuse("device", device, "cpu");
  if (dtype !== "float32") refuse("dtype", dtype, "float32");
  if (weights !== "stored") refuse("weights", weights, "stored");
  return { ...webEngine({ threads, device: wasm }), reason: "WebAssembly on the CPU", warnings: [] };
}
