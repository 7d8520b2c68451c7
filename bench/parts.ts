/**
 * @file Each part of a model folder in a fresh process: seconds to load and to run, highest and steady memory, and what
 * `koala memory` predicted of it.
 *
 *     npx tsx bench/parts.ts FOLDER [--sizes 512,768,1024] [--parts text_encoder,unet,vae,...] [--batch 1]
 *         [--weights int8]
 *
 * `--batch` is the rows of one run of U-Net and text encoders: 2 is one image with guidance.
 */

import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { deviceOf, parseWeights } from "../src/engine/device.js";
import { workerEngine } from "../src/engine/ort/worker-engine.js";
import { loadComponents } from "../src/pipeline/components.js";
import { estimateMemory, runtimeBytes } from "../src/pipeline/memory-estimate.js";
import { loadPart } from "./load-part.js";
import { partInputs } from "./part-inputs.js";

type Measured = {
  predicted: number;
  peak: number;
  steady: number;
  load: number;
  first: number;
  again: number;
};

const memory = (field: "VmHWM" | "VmRSS") =>
  1024 * Number(new RegExp(`${field}:\\s+(\\d+)`).exec(readFileSync("/proc/self/status", "utf8"))![1]);

async function measure(folder: string, name: string, pixels: number, rows: number): Promise<Measured> {
  const device = deviceOf("cpu", { weights: parseWeights(values.weights) });
  const engine = workerEngine({ device });
  const components = await loadComponents(folder, { engine });
  const size = { width: pixels, height: pixels, batch: 1, passes: rows, encodes: true };
  const { components: estimated } = estimateMemory(components, size, device);
  const predicted = runtimeBytes + estimated.find((p) => p.name === name)!.peak;
  const inputs = partInputs(components, name, { pixels, rows });
  const started = performance.now();
  const session = await loadPart(components, name); // where weights are to be quantised, the first time that too
  const loaded = performance.now();
  await session.run(inputs);
  const ran = performance.now();
  await session.run(inputs);
  const [first, again] = [ran - loaded, performance.now() - ran];
  const times = { load: (loaded - started) / 1000, first: first / 1000, again: again / 1000 };
  const measured = { predicted, peak: memory("VmHWM"), steady: memory("VmRSS"), ...times };
  await engine.close();
  return measured;
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    sizes: { type: "string", default: "512,768,1024" },
    parts: { type: "string", default: "text_encoder,text_encoder_2,unet,vae" },
    batch: { type: "string", default: "1" },
    weights: { type: "string", default: "stored" },
    json: { type: "boolean" },
  },
});
const [folder] = positionals;
if (!folder) throw new Error("give a diffusers folder; bench/make-model.ts writes one of the real shapes");
const sizes = values.sizes.split(",").map(Number);
if (values.json) {
  console.log(JSON.stringify(await measure(folder, values.parts, sizes[0]!, Number(values.batch))));
} else {
  console.log("part              pixels  predicted      peak  ratio    steady  load s  run s  again s");
  for (const name of values.parts.split(",")) {
    for (const pixels of name.startsWith("text") ? sizes.slice(0, 1) : sizes) {
      const one = ["--json", "--parts", name, "--sizes", String(pixels), "--batch", values.batch];
      one.push("--weights", values.weights);
      const args = ["--import", "tsx", fileURLToPath(import.meta.url), folder, ...one];
      const m = JSON.parse(execFileSync(process.execPath, args, { encoding: "utf8" })) as Measured;
      const gb = (bytes: number) => `${(bytes / 1e9).toFixed(2)} GB`;
      const cells: [string, number][] = [
        [String(pixels), 6],
        [gb(m.predicted), 10],
        [gb(m.peak), 9],
        [(m.predicted / m.peak).toFixed(2), 6],
        [gb(m.steady), 9],
        [m.load.toFixed(1), 7],
        [m.first.toFixed(2), 6],
        [m.again.toFixed(2), 8],
      ];
      console.log(name.padEnd(17), cells.map(([cell, width]) => cell.padStart(width)).join(" "));
    }
  }
}
