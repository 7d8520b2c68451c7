/**
 * @file One U-Net forward of a full-size folder (batch 1, 512 px) in turns with ONNX Runtime's own 2048 x 2048 x 2048
 * product on the same threads, of two inputs and by a constant: seconds, GFLOP/s of both, their ratio; load time, peak and steady memory.
 *
 *     npx tsx bench/forward.ts FOLDER [--pixels 512] [--pairs 5] [--threads 2]
 */

import { readFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { floats } from "../src/engine/engine.js";
import { lower } from "../src/engine/lower.js";
import { blockingEngine } from "../src/engine/ort/blocking-engine.js";
import { macs } from "../src/models/cost.js";
import { traceUnet } from "../src/models/trace.js";
import { pooledWidth, textWidth } from "../src/models/unet-config.js";
import { loadComponents } from "../src/pipeline/components.js";
import { constant, input, matmul } from "../src/tensor/operations.js";
import { Params, tracing } from "../src/tensor/params.js";

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: {
    pixels: { type: "string", default: "512" },
    pairs: { type: "string", default: "5" },
    threads: { type: "string", default: "2" },
  },
});
const [folder] = positionals;
if (!folder) throw new Error("give a diffusers folder; bench/make-model.ts writes one of the real shapes");

const memory = (field: "VmHWM" | "VmRSS") =>
  Number(new RegExp(`${field}:\\s+(\\d+)`).exec(readFileSync("/proc/self/status", "utf8"))![1]) / 1e6;
const seconds = async (work: () => Promise<unknown>) => {
  const start = performance.now();
  await work();
  return (performance.now() - start) / 1000;
};
const median = (xs: number[]) => xs.sort((a, b) => a - b)[xs.length >> 1]!;

const engine = blockingEngine({ threads: Number(values.threads), spinning: true });
const n = 2048;
const product = await engine.load(lower("product", { y: matmul(input("a", [n, n]), input("b", [n, n])) }));
const packed = await engine.load(
  lower("packed", { y: matmul(input("a", [n, n]), constant(new Float32Array(n * n).fill(0.5), [n, n])) }),
);
const square = floats(new Float32Array(n * n).fill(0.5), n, n);

const { unet } = await loadComponents(folder, { engine });
const load = await seconds(() => unet.component.session("unet", unet.trace));
const session = await unet.component.session("unet", unet.trace);

const side = Number(values.pixels) / 8;
const { inChannels } = unet.config;
const pooled = pooledWidth(unet.config);
const wave = (length: number) => Float32Array.from({ length }, (_, i) => Math.sin(i));
const inputs = {
  sample: floats(wave(inChannels * side * side), 1, inChannels, side, side),
  timestep: floats(Float32Array.of(500), 1),
  encoder_hidden_states: floats(wave(77 * textWidth(unet.config)), 1, 77, textWidth(unet.config)),
  ...(pooled !== undefined && {
    text_embeds: floats(wave(pooled), 1, pooled),
    time_ids: floats(wave(6), 1, 6),
  }),
};
const gmac = macs([traceUnet(new Params(tracing()), unet.config, { height: side, width: side })]) / 1e9;

await session.run(inputs);
const rows: { forward: number; product: number; packed: number }[] = [];
for (let i = 0; i < Number(values.pairs); i++) {
  const one = await seconds(() => product.run({ a: square, b: square }));
  const prepacked = await seconds(() => packed.run({ a: square }));
  rows.push({ product: one, packed: prepacked, forward: await seconds(() => session.run(inputs)) });
}
const forward = median(rows.map((r) => r.forward));
const speeds = (kind: "product" | "packed") =>
  rows.map((r) => (2 * gmac) / r.forward / ((2 * n ** 3) / 1e9 / r[kind]));
console.log(
  `load ${load.toFixed(1)} s, peak ${memory("VmHWM").toFixed(2)} GB, steady ${memory("VmRSS").toFixed(2)} GB`,
);
console.log(
  `forward ${forward.toFixed(2)} s at ${values.pixels} px: ${gmac.toFixed(1)} GMAC, ${((2 * gmac) / forward).toFixed(0)} GFLOP/s`,
);
for (const [kind, what] of [
  ["product", `the product of ${n}`],
  ["packed", "the same with a constant, packed beforehand"],
] as const) {
  const all = speeds(kind);
  const [least, most] = [Math.min(...all).toFixed(2), Math.max(...all).toFixed(2)];
  console.log(`against ${what}: median ${median(all).toFixed(2)}, ${least} to ${most}`);
}
