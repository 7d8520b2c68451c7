/** @file The machine behind a browser, of which a page learns the adapter's maker. */

import { webEngine } from "../ort/web-engine.browser.js";
import { findAdapter } from "../ort/web-gpu.browser.js";
import type { Drivers, Machine } from "./machine.js";
import { plainMessage, type SelfTestResult } from "./self-test-result.js";

/** Of the adapter that was found last. */
let drivers: Drivers = { libraries: [], software: undefined };

const results = new Map<string, Promise<SelfTestResult>>();

export const thisMachine: Machine = {
  best: ["webgpu"],
  missing: async (provider) => {
    if (provider !== "webgpu") return "no browser has it. Use webgpu or cpu.";
    const adapter = await findAdapter();
    if (adapter) {
      drivers = driversOf(adapter);
      return undefined;
    }
    return "gpu" in navigator
      ? "this browser found no graphics adapter that it permits. Its page about the graphics card says why (chrome://gpu)."
      : "this browser has no WebGPU, or the page is reached by neither https nor localhost. Use the cpu.";
  },
  whyNotOpened: (_, error) =>
    `ONNX Runtime says: ${plainMessage(error instanceof Error ? error.message : String(error)).replace(/\.?$/, ".")}`,
  engine: webEngine,
  drivers: () => drivers,
  adapterOf: ({ libraries: [name], software }) =>
    software === undefined ? name : `${software}, a software adapter`,
  versions: async ({ libraries }) => libraries,
  // Drivers have no versions here, so results are kept for as long as the page.
  tested: (key, test) => {
    const result = results.get(key) ?? test();
    results.set(key, result);
    result.catch(() => results.delete(key));
    return result;
  },
};

/** Other browsers may have the mark on the adapter, or none. */
type Marked = { isFallbackAdapter?: boolean };

function driversOf(adapter: GPUAdapter): Drivers {
  const { vendor, architecture, description } = adapter.info;
  const name = [vendor, architecture, description].filter((part) => part !== "").join(" ");
  const isSoftware = [adapter.info as Marked, adapter as Marked].some(
    ({ isFallbackAdapter }) => isFallbackAdapter,
  );
  const known = /swiftshader|llvmpipe|lavapipe|basic render/i.exec(name)?.[0];
  return {
    libraries: name === "" ? [] : [name],
    software: known ?? (isSoftware ? name || "an unnamed one" : undefined),
  };
}
