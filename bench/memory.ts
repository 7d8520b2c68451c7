/**
 * @file Measures what a program's intermediate results take, for comparison with `peakBytes`: each graph in a fresh
 * process, the highest resident size (VmHWM) during a run above what was resident before it.
 *
 *     tsx bench/memory.ts [--case NAME] [--runs 1]
 */

import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { cpu, type Device } from "../src/engine/device.js";
import type { Values } from "../src/engine/engine.js";
import { lower, type StoredWeight } from "../src/engine/lower.js";
import { peakBytes } from "../src/engine/memory/peak.js";
import { blockingEngine } from "../src/engine/ort/blocking-engine.js";
import { knownVae } from "../src/models/known.js";
import { unetInputs } from "../src/models/trace.js";
import { unetConfig } from "../src/models/unet-config.js";
import { decode, vaeConfig } from "../src/models/vae.js";
import { gradients } from "../src/tensor/gradient.js";
import { input } from "../src/tensor/operations.js";
import { topological } from "../src/tensor/order.js";
import { Params, tracing } from "../src/tensor/params.js";
import { count, made, type Tensor } from "../src/tensor/tensor.js";
import { featurePairs } from "../src/train/features.js";
import { trainingDevice } from "../src/train/gradient-program.js";
import { studentTrace, unetWithFeatures } from "../src/train/step.js";
import { studentConfig } from "../src/train/student.js";

/** A graph as it is run: with weights as initialisers to infer, as inputs to train. */
type Case = { outputs: Record<string, Tensor>; device: Device; weights: "initialisers" | "inputs" };

const half = {
  addition_embed_type: "text_time",
  addition_time_embed_dim: 64,
  attention_head_dim: [2, 4, 8],
  block_out_channels: [128, 256, 512],
  cross_attention_dim: 256,
  down_block_types: ["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"],
  layers_per_block: 2,
  projection_class_embeddings_input_dim: 512,
  transformer_layers_per_block: [1, 2, 4],
  up_block_types: ["CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"],
  use_linear_projection: true,
};
const teacher = unetConfig(half);
const student = unetConfig(studentConfig(half, "koala-700m"));
const pairs = featurePairs(student, teacher, "koala");

function infer(batch: number, pixels: number, device = cpu): Case {
  const size = { batch, height: pixels / 8, width: pixels / 8, tokens: 77 };
  const inputs = unetInputs(teacher, size);
  const { output } = unetWithFeatures(new Params(tracing()), teacher, inputs, []);
  return { outputs: { output }, device, weights: "initialisers" };
}

function train(batch: number, pixels: number): Case {
  const size = { batch, height: pixels / 8, width: pixels / 8, tokens: 77 };
  const trace = studentTrace(student, pairs, size, { weights: { task: 1, out: 1, feat: 1 } });
  const found = gradients(trace.losses.total, [...trace.params.values()]);
  const named = Object.fromEntries([...trace.params.keys()].map((at, i) => [`gradient/${at}`, found[i]!]));
  return { outputs: { ...trace.outputs, ...named }, device: trainingDevice(), weights: "inputs" };
}

function vae(pixels: number): Case {
  const c = vaeConfig(knownVae);
  const image = decode(new Params(tracing()), c, input("latents", [1, 4, pixels / 8, pixels / 8]));
  return { outputs: { image }, device: cpu, weights: "initialisers" };
}

const cases: Record<string, () => Case> = {
  "U-Net, 1 x 1024 px": () => infer(1, 1024),
  "U-Net, 4 x 768 px": () => infer(4, 768),
  "U-Net, 2 x 512 px, scores composed": () => infer(2, 512, { ...cpu, fusedAttention: false }),
  "VAE, 1 x 512 px": () => vae(512),
  "VAE, 1 x 256 px": () => vae(256),
  "step, 1 x 256 px": () => train(1, 256),
  "step, 4 x 256 px": () => train(4, 256),
  "step, 1 x 512 px": () => train(1, 512),
};

const status = (field: string): number =>
  1024 * Number(new RegExp(`${field}:\\s+(\\d+) kB`).exec(readFileSync("/proc/self/status", "utf8"))![1]);

/** Random weights in a file of their own, as ONNX Runtime reads a model's. */
function stored(folder: string, params: readonly Tensor<"param">[]): Map<string, StoredWeight> {
  const weights = new Map<string, StoredWeight>();
  const total = params.reduce((sum, t) => sum + count(t.shape), 0);
  const data = Float32Array.from({ length: total }, (_, i) => ((i * 7919) % 1009) / 5e4 - 0.01);
  let offset = 0;
  for (const t of params) {
    const length = 4 * count(t.shape);
    weights.set(t.attrs.path, { location: "weights", dtype: "F32", shape: t.shape, offset, length });
    offset += length;
  }
  writeFileSync(path.join(folder, "weights"), data);
  return weights;
}

const filled = (t: Tensor): Values => ({
  data: Float32Array.from({ length: count(t.shape) }, (_, i) => ((i * 7919) % 1009) / 1e4 - 0.05),
  shape: t.shape,
});

async function measure({ outputs, device, weights }: Case, runs: number) {
  const leaves = topological(Object.values(outputs));
  const params = leaves.filter((t): t is Tensor<"param"> => made("param", t));
  const inputs = Object.fromEntries(
    leaves.flatMap((t) => (made("input", t) ? [[t.attrs.name, filled(t)] as const] : [])),
  );
  const folder = mkdtempSync(path.join(tmpdir(), "memory-"));
  try {
    const files = weights === "initialisers" ? { weights: stored(folder, params), folder } : {};
    const session = await blockingEngine({ threads: 2 }).load(
      lower("measured", outputs, { device, ...files }),
    );
    const given = Object.fromEntries(params.map((t) => [t.attrs.path, filled(t)]));
    const into = Object.fromEntries(
      Object.entries(outputs).flatMap(([name, t]) =>
        name.startsWith("gradient/") ? [[name, filled(t)]] : [],
      ),
    );
    global.gc?.();
    const before = status("VmRSS");
    writeFileSync("/proc/self/clear_refs", "5");
    const started = performance.now();
    for (let i = 0; i < runs; i++) {
      await session.runInto(weights === "inputs" ? { ...given, ...inputs } : inputs, into);
    }
    return { measured: status("VmHWM") - before, seconds: (performance.now() - started) / 1000 };
  } finally {
    rmSync(folder, { recursive: true });
  }
}

const { values } = parseArgs({
  options: { case: { type: "string" }, runs: { type: "string", default: "1" }, json: { type: "boolean" } },
});
if (values.json) {
  const one = cases[values.case!]!();
  const given = new Set(Object.keys(one.outputs).filter((at) => at.startsWith("gradient/")));
  const { peak, returned } = peakBytes(one.outputs, { ...one, given });
  console.log(JSON.stringify({ predicted: peak + returned, ...(await measure(one, Number(values.runs))) }));
} else {
  console.log("graph                                 predicted   measured   ratio   seconds");
  for (const name of values.case ? [values.case] : Object.keys(cases)) {
    const script = fileURLToPath(import.meta.url);
    const args = ["--expose-gc", "--import", "tsx", script, "--json", "--case", name, "--runs", values.runs];
    const { predicted, measured, seconds } = JSON.parse(
      execFileSync(process.execPath, args, { encoding: "utf8" }),
    );
    const mega = (bytes: number) => `${(bytes / 1e6).toFixed(0)} MB`.padStart(10);
    const ratio = (predicted / measured).toFixed(2).padStart(7);
    console.log(
      `${name.padEnd(36)}${mega(predicted)} ${mega(measured)} ${ratio} ${seconds.toFixed(1).padStart(8)}`,
    );
  }
}
