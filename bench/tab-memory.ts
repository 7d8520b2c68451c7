/**
 * @file What fits into a tab: the memory that is predicted of model folders by WebAssembly, at a few sizes.
 *
 *     tsx bench/tab-memory.ts FOLDER...
 */

import path from "node:path";
import { cpu, inBrowser } from "../src/engine/device.js";
import type { Engine } from "../src/engine/engine.js";
import { loadComponents } from "../src/pipeline/components.js";
import { estimateMemory, planMemory } from "../src/pipeline/memory-estimate.js";

/** Nothing is loaded. */
const engine: Engine = {
  device: inBrowser(cpu),
  load: () => Promise.reject(new Error("internal")),
  close: async () => {},
};
const gigabytes = (bytes: number) => `${(bytes / 1e9).toFixed(2)} GB`;
/** By `navigator.deviceMemory` of 8 and more, and of 4. */
const machines = [3.5e9, 2 * 2 ** 30];

for (const folder of process.argv.slice(2)) {
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
    const bytes = estimateMemory(components, size, inBrowser(cpu));
    const largest = bytes.components.reduce((a, b) => (b.peak > a.peak ? b : a));
    const plans = machines.map((available) => planMemory(bytes, available)).join(", ");
    console.log(
      `${path.basename(folder)} ${side} px: ${gigabytes(largest.peak)} (${largest.name}); ${plans}`,
    );
  }
}
