/**
 * @file What fits into a tab: the memory that is predicted of model folders by WebAssembly, at a few sizes.
 *
 *     tsx bench/tab-memory.ts FOLDER... [--weights int8]
 */

import path from "node:path";
import { parseArgs } from "node:util";
import { deviceOf, inBrowser, parseWeights } from "../src/engine/device.js";
import type { Engine } from "../src/engine/engine.js";
import { loadComponents } from "../src/pipeline/components.js";
import { estimateMemory, planMemory } from "../src/pipeline/memory-estimate.js";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { weights: { type: "string", default: "stored" } },
});
const device = inBrowser(deviceOf("cpu", { weights: parseWeights(values.weights) }));

/** Nothing is loaded. */
const engine: Engine = {
  device,
  load: () => Promise.reject(new Error("internal")),
  close: async () => {},
};
const gigabytes = (bytes: number) => `${(bytes / 1e9).toFixed(2)} GB`;
/** By `navigator.deviceMemory` of 8 and more, and of 4. */
const machines = [3.5e9, 2 * 2 ** 30];

for (const folder of positionals) {
  const components = await loadComponents(folder, { engine });
  for (const side of [256, 512, 1024]) {
    const size = {
      width: side,
      height: side,
      batch: 1,
      passes: 2,
      encodes: false,
      ...(side > 512 && { tile: 512 }),
    };
    const bytes = estimateMemory(components, size, device);
    const largest = bytes.components.reduce((a, b) => (b.peak > a.peak ? b : a));
    const plans = machines.map((available) => planMemory(bytes, available)).join(", ");
    console.log(
      `${path.basename(folder)} ${side} px: ${gigabytes(largest.peak)} (${largest.name}); ${plans}`,
    );
  }
}
