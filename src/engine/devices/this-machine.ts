/** @file The machine that Node runs on; in a browser `this-machine.browser.ts` takes this module's place. */

import { createRequire } from "node:module";
import { release } from "node:os";
import { stat } from "../../files/file-system.js";
import { blockingEngine } from "../ort/blocking-engine.js";
import { adapterOf, loadedDrivers } from "./drivers.js";
import { deviceCache, keptResult } from "./kept-results.js";
import type { Drivers, Machine } from "./machine.js";
import { missingFor, whyNotOpened } from "./missing.js";

export const thisMachine: Machine = {
  // Of providers that were never run by us those that are made for one vendor come first.
  best: ["cuda", "webgpu", "dml", "coreml"],
  missing: (provider) => missingFor(provider),
  whyNotOpened,
  engine: blockingEngine,
  drivers: () => loadedDrivers(),
  adapterOf,
  versions,
  tested: (key, test, { libraries }) =>
    keptResult(key, test, { at: deviceCache(), driverKnown: libraries.length > 0 }),
};

/** The drivers' files by size and date. */
async function versions({ libraries }: Drivers): Promise<string[]> {
  const { version } = createRequire(import.meta.url)("onnxruntime-node/package.json");
  const files = libraries.map(async (file) => {
    const found = await stat(file).catch(() => undefined);
    return `${file} ${found?.size} ${found?.mtimeMs}`;
  });
  return [version, process.platform, release(), ...(await Promise.all(files))];
}
