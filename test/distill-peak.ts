/** @file Prints the peak memory of one training step of a middle-sized U-Net: run with "whole" or "cut". Linux alone. */

import { readFileSync } from "node:fs";
import { Generator } from "../src/diffusion/random.js";
import { floats, type Values } from "../src/engine/engine.js";
import { blockingEngine } from "../src/engine/ort/blocking-engine.js";
import { unetConfig } from "../src/models/unet-config.js";
import { count } from "../src/tensor/tensor.js";
import { checkpointedProgram } from "../src/train/gradient-checkpointing.js";
import { layoutOf, wholeProgram } from "../src/train/gradient-program.js";
import { stagePaths } from "../src/train/layer-mapping.js";
import { studentTrace } from "../src/train/step.js";

// Many pixels and few channels: activations weigh far more than weights.
const config = unetConfig({
  block_out_channels: [32, 32, 32],
  attention_head_dim: [2, 2, 2],
  norm_num_groups: 8,
  down_block_types: ["DownBlock2D", "DownBlock2D", "CrossAttnDownBlock2D"],
  up_block_types: ["CrossAttnUpBlock2D", "UpBlock2D", "UpBlock2D"],
  transformer_layers_per_block: [1, 1, 1],
  layers_per_block: 1,
  cross_attention_dim: 20,
  mid_block_type: null,
  use_linear_projection: true,
});
const size = { batch: 6, height: 96, width: 96, tokens: 8 };

/** "VmHWM" is the most that was ever resident, "VmRSS" what is now; in bytes. */
const memory = (field: "VmHWM" | "VmRSS") =>
  1024 * Number(new RegExp(`${field}:\\s+(\\d+) kB`).exec(readFileSync("/proc/self/status", "utf8"))?.[1]);

const watch = stagePaths(config);
const trace = studentTrace(config, [], size, { weights: { task: 1, out: 0, feat: 0 }, watch });
const loss = { params: trace.params, outputs: { ...trace.outputs, total: trace.losses.total } };
const layout = layoutOf(loss);
const generator = new Generator(1);
const inputs: Record<string, Values> = {};
for (const [name, { shape }] of trace.inputs)
  inputs[name] = floats(generator.normal(count(shape as number[])), ...(shape as number[]));
inputs.timestep = floats(
  Float32Array.from({ length: size.batch }, (_, i) => 100 * i),
  size.batch,
);
const weights = generator.normal(layout.total).map((x) => 0.1 * x);
const engine = blockingEngine({ threads: 1 });
const borders = watch.map((path) => trace.at.get(path)!);
const program =
  process.argv[2] === "cut"
    ? await checkpointedProgram(engine, loss, layout, borders)
    : await wholeProgram(engine, loss, layout);
const loaded = memory("VmRSS");
const { total } = await program.run(weights, inputs, new Float32Array(layout.total));
console.log(JSON.stringify({ loaded, peak: memory("VmHWM"), total: total![0] }));
