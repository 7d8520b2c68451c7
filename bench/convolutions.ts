/**
 * @file U-Net and autoencoder with wide 3x3 convolutions by Winograd's algorithm beside ONNX Runtime's Conv, in turns in one
 * process: the ratio in seconds and in processor time, the time to load, and how far apart the results are.
 *
 *     npx tsx bench/convolutions.ts FOLDER [--part unet|vae|"vae encoder"] [--pixels 512] [--batch 1] [--turns 3] [--threads 2]
 */

import { parseArgs } from "node:util";
import { cpu } from "../src/engine/device.js";
import { floatsOf } from "../src/engine/engine.js";
import { blockingEngine } from "../src/engine/ort/blocking-engine.js";
import { loadComponents } from "../src/pipeline/components.js";
import { loadPart } from "./load-part.js";
import { partInputs } from "./part-inputs.js";

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: {
    part: { type: "string", default: "unet" },
    pixels: { type: "string", default: "512" },
    batch: { type: "string", default: "1" },
    turns: { type: "string", default: "3" },
    threads: { type: "string", default: "2" },
  },
});
const [folder] = positionals;
if (!folder) throw new Error("give a diffusers folder; bench/make-model.ts writes one of the real shapes");

const { part } = values;
const [pixels, rows] = [values.pixels, values.batch].map(Number) as [number, number];

async function opened(winograd: boolean) {
  const device = { ...cpu, winograd };
  const engine = blockingEngine({ threads: Number(values.threads), spinning: true, device });
  const components = await loadComponents(folder!, { engine });
  const started = performance.now();
  const session = await loadPart(components, part);
  const load = (performance.now() - started) / 1000;
  return {
    components,
    session,
    load,
    wall: [] as number[],
    cpu: [] as number[],
    out: new Float32Array() as Float32Array,
  };
}

const all = [await opened(false), await opened(true)] as const;
for (let turn = 0; turn <= Number(values.turns); turn++)
  for (const one of all) {
    const [wall, processor] = [performance.now(), process.cpuUsage()];
    const [result] = Object.values(await one.session.run(partInputs(one.components, part, { pixels, rows })));
    one.out = floatsOf(result);
    if (turn === 0) continue; // memory is taken
    const { user, system } = process.cpuUsage(processor);
    one.wall.push((performance.now() - wall) / 1000);
    one.cpu.push((user + system) / 1e6);
  }
const [conv, winograd] = all;
const best = (times: readonly number[]) => Math.min(...times);
const largest = (x: Float32Array) => x.reduce((most, v) => Math.max(most, Math.abs(v)), 0);
const error = largest(winograd.out.map((v, i) => v - conv.out[i]!)) / largest(conv.out);
console.log("             load s   run s  processor s");
for (const [name, { load, wall, cpu }] of [["Conv", conv] as const, ["Winograd", winograd] as const])
  console.log(name.padEnd(11), ...[load, best(wall), best(cpu)].map((x) => x.toFixed(2).padStart(7)));
const ratios = [
  winograd.load / conv.load,
  best(winograd.wall) / best(conv.wall),
  best(winograd.cpu) / best(conv.cpu),
];
console.log("ratio".padEnd(11), ...ratios.map((x) => x.toFixed(2).padStart(7)));
console.log(`largest difference over the largest number: ${error.toExponential(1)}`);
