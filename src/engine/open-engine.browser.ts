/** @file Opens an engine in a browser by the name of its device. */

import { inBrowser } from "./device.js";
import type { Engine } from "./engine.js";
import { type DeviceOptions, findDevice } from "./find-device.js";
import type { Opened } from "./open-engine.js";
import { loadOnnxRuntimeFrom } from "./ort/web-build.browser.js";
import { webEngine } from "./ort/web-engine.browser.js";

export type { DeviceOptions } from "./find-device.js";

/**
 * Opens an engine on the device that is asked for, else on a graphics card that passes its self-test, else on the CPU;
 * InvalidRequest for a device that this browser does not have.
 */
export async function openEngine({
  threads = 0,
  onnxRuntimeFolder,
  ...options
}: DeviceOptions & { threads?: number } = {}): Promise<Engine & Opened> {
  if (onnxRuntimeFolder !== undefined) loadOnnxRuntimeFrom(onnxRuntimeFolder);
  const { device, reason, warnings } = await findDevice({ device: "auto", ...options });
  return { ...webEngine({ threads, device: inBrowser(device) }), reason, warnings };
}
