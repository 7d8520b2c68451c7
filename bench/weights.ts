/**
 * @file One U-Net forward with each format of weights, in turns in one process: the ratio to weights as stored, in seconds
 * and in processor time, and how far the result is off. The first time the weights are quantised, which is not counted.
 *
 *     npx tsx bench/weights.ts FOLDER [--pixels 512] [--turns 3] [--threads 2] [--weights int8,int8-fast]
 */

import { parseArgs } from "node:util";
import { deviceOf, parseWeights, type WeightFormat, weightFormats } from "../src/engine/device.js";
import { floatsOf, type Session } from "../src/engine/engine.js";
import { blockingEngine } from "../src/engine/ort/blocking-engine.js";
import { loadComponents } from "../src/pipeline/components.js";
import { loadPart } from "./load-part.js";
import { partInputs } from "./part-inputs.js";

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: {
    pixels: { type: "string", default: "512" },
    turns: { type: "string", default: "3" },
    threads: { type: "string", default: "2" },
    weights: { type: "string", default: weightFormats.slice(1).join() },
  },
});
const [folder] = positionals;
if (!folder) throw new Error("give a diffusers folder; bench/make-model.ts writes one of the real shapes");

const pixels = Number(values.pixels);

async function opened(weights: WeightFormat) {
  const threads = Number(values.threads);
  const engine = blockingEngine({ threads, spinning: true, device: deviceOf("cpu", { weights }) });
  const components = await loadComponents(folder!, { engine });
  await loadPart(components, "unet"); // quantises
  await components.unet.component.release();
  const started = performance.now();
  const session: Session = await loadPart(components, "unet");
  return { weights, components, session, load: (performance.now() - started) / 1000 };
}

const choices = ["stored", ...values.weights.split(",").map(parseWeights)] as const;
const all: (Awaited<ReturnType<typeof opened>> & { wall: number[]; cpu: number[]; out: Float32Array })[] = [];
for (const weights of choices)
  all.push({ ...(await opened(weights)), wall: [], cpu: [], out: new Float32Array() });
for (let turn = 0; turn <= Number(values.turns); turn++)
  for (const one of all) {
    const [wall, cpu] = [performance.now(), process.cpuUsage()];
    one.out = floatsOf((await one.session.run(partInputs(one.components, "unet", { pixels }))).out);
    if (turn === 0) continue; // memory is taken
    const { user, system } = process.cpuUsage(cpu);
    one.wall.push((performance.now() - wall) / 1000);
    one.cpu.push((user + system) / 1e6);
  }
const [stored] = all;
const norm = (x: Float32Array) => Math.sqrt(x.reduce((sum, v) => sum + v * v, 0));
const best = (times: readonly number[]) => Math.min(...times);
console.log("weights      load s  ratio   run s  ratio  processor s  ratio  relative error");
for (const { weights, load, wall, cpu, out } of all) {
  const error = norm(out.map((v, i) => v - stored!.out[i]!)) / norm(stored!.out);
  const cells: [number, number, number][] = [
    [load, 7, 1],
    [load / stored!.load, 6, 2],
    [best(wall), 7, 2],
    [best(wall) / best(stored!.wall), 6, 2],
    [best(cpu), 12, 2],
    [best(cpu) / best(stored!.cpu), 6, 2],
  ];
  const numbers = cells.map(([x, width, digits]) => x.toFixed(digits).padStart(width)).join(" ");
  console.log(weights.padEnd(11), numbers, error.toExponential(1).padStart(15));
}
