/** @file Gradient checkpointing gives the gradients of one program, and takes less memory. */

import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { describe, expect, it } from "vitest";
import { Generator } from "../../src/diffusion/random.js";
import { floats, type Values } from "../../src/engine/engine.js";
import { blockingEngine } from "../../src/engine/ort/blocking-engine.js";
import { unetConfig } from "../../src/models/unet-config.js";
import { input, mean, mul, param, reshape } from "../../src/tensor/operations.js";
import { count, type Tensor } from "../../src/tensor/tensor.js";
import { checkpointedProgram, segmentsOf } from "../../src/train/gradient-checkpointing.js";
import {
  type GradientProgram,
  layoutOf,
  type TracedLoss,
  wholeProgram,
} from "../../src/train/gradient-program.js";
import { stagePaths } from "../../src/train/layer-mapping.js";
import type { ParameterBuffer } from "../../src/train/parameter-buffer.js";
import { studentTrace } from "../../src/train/step.js";

const engine = blockingEngine({ threads: 1 });

/** A loss of several terms over a chain whose tensors are read by later parts as well. */
function chain(): { loss: TracedLoss; borders: Tensor[] } {
  const [x, a, b] = [input("x", [2, 3]), param("a", [2, 3]), param("b", [2, 3])];
  const first = mul(x, a);
  const second = mul(first, b);
  const third = mul(mul(second, first), a); // a again, and the first part across a border
  const term = (t: Tensor) => reshape(mean(mul(t, t)), [1]);
  const outputs = { total: term(third), early: term(first) };
  return {
    loss: {
      params: new Map([
        ["a", a],
        ["b", b],
      ]),
      outputs,
    },
    borders: [first, second],
  };
}

async function results(
  program: GradientProgram,
  layout: ParameterBuffer,
  inputs: Record<string, Values>,
  weights: Float32Array,
) {
  const gradient = new Float32Array(layout.total).fill(Number.NaN);
  const terms = await program.run(weights, inputs, gradient);
  await program.release();
  return { terms, gradient };
}

describe("A graph cut at borders", () => {
  it("falls into parts that read only what earlier parts write", () => {
    const { loss, borders } = chain();
    const segments = segmentsOf(Object.values(loss.outputs), borders);
    expect(segments.length).toBe(3);
    for (const [i, { reads }] of segments.entries()) {
      const written = segments.slice(0, i).flatMap((s) => s.writes);
      expect(reads.every((t) => written.includes(t))).toBe(true);
    }
    const all = segments.flatMap((s) => s.tensors);
    expect(new Set(all).size).toBe(all.length);
  });

  it("has the closed form's gradients, also of what crosses two borders", async () => {
    const { loss, borders } = chain();
    const layout = layoutOf(loss);
    const [x, a, b] = [3, 4, 5].map((seed) => new Generator(seed).normal(6)) as [
      Float32Array,
      Float32Array,
      Float32Array,
    ];
    const weights = Float32Array.of(...a, ...b);
    const program = await checkpointedProgram(engine, loss, layout, borders);
    const { gradient, terms } = await results(program, layout, { x: floats(x, 2, 3) }, weights);
    // third = x² a³ b; its square's mean by a is 6 x⁴ a⁵ b² / 6, by b 2 x⁴ a⁶ b / 6.
    for (let i = 0; i < 6; i++) {
      const [xi, ai, bi] = [x[i]!, a[i]!, b[i]!];
      expect(gradient[i]! / (xi ** 4 * ai ** 5 * bi ** 2)).toBeCloseTo(1, 5);
      expect(gradient[6 + i]! / ((xi ** 4 * ai ** 6 * bi) / 3)).toBeCloseTo(1, 5);
    }
    const early = x.reduce((sum, xi, i) => sum + (xi * a[i]!) ** 2, 0) / 6;
    expect(terms.early![0]! / early).toBeCloseTo(1, 5);
  });
});

const config = unetConfig({
  block_out_channels: [16, 24, 32],
  attention_head_dim: [2, 3, 2],
  norm_num_groups: 8,
  down_block_types: ["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"],
  up_block_types: ["CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"],
  mid_block_type: "UNetMidBlock2DCrossAttn",
  transformer_layers_per_block: [1, 1, 2],
  layers_per_block: 1,
  cross_attention_dim: 20,
  use_linear_projection: true,
});

describe("a U-Net cut at its stages", () => {
  it("has the whole program's losses and gradients, to 1e-5", async () => {
    const features = ["down_blocks.0", "mid_block", "up_blocks.2"];
    const pairs = features.map((path) => ({ stage: path, student: path, teacher: path }));
    const size = { batch: 2, height: 16, width: 12, tokens: 5 };
    const watch = stagePaths(config);
    const trace = studentTrace(config, pairs, size, { weights: { task: 1, out: 1, feat: 1 }, watch });
    const loss = { params: trace.params, outputs: { ...trace.outputs, total: trace.losses.total } };
    const layout = layoutOf(loss);
    const generator = new Generator(1);
    const inputs: Record<string, Values> = {};
    for (const [name, { shape }] of trace.inputs)
      inputs[name] = floats(generator.normal(count(shape as number[])), ...(shape as number[]));
    inputs.timestep = floats(Float32Array.of(40, 900), 2);
    const weights = generator.normal(layout.total).map((x) => 0.1 * x);
    const borders = watch.map((path) => trace.at.get(path)!);

    const whole = await results(await wholeProgram(engine, loss, layout), layout, inputs, weights);
    const cut = await results(
      await checkpointedProgram(engine, loss, layout, borders),
      layout,
      inputs,
      weights,
    );
    expect(Object.keys(cut.terms).sort()).toEqual(Object.keys(whole.terms).sort());
    for (const [name, values] of Object.entries(whole.terms))
      for (const [i, x] of values.entries())
        expect(Math.abs(cut.terms[name]![i]! / x - 1), name).toBeLessThan(1e-5);
    const norm = (x: Float32Array) => Math.sqrt(x.reduce((sum, g) => sum + g * g, 0));
    const difference = whole.gradient.map((g, i) => g - cut.gradient[i]!);
    expect(norm(difference) / norm(whole.gradient)).toBeLessThan(1e-5);
    for (const name of layout.slices.keys()) {
      const [d, g] = [layout.view(difference, name), layout.view(whole.gradient, name)];
      const largest = g.reduce((most, x) => Math.max(most, Math.abs(x)), 0);
      // A tensor without influence has gradients of rounding alone, in both.
      if (largest > 1e-6 * norm(whole.gradient))
        expect(d.reduce((most, x) => Math.max(most, Math.abs(x)), 0) / largest, name).toBeLessThan(2e-4);
    }
  });

  it("has a peak of memory of less than two thirds", { timeout: 120_000 }, async () => {
    const script = new URL("../distill-peak.ts", import.meta.url).pathname;
    const peak = async (way: string) => {
      const { stdout } = await promisify(execFile)(process.execPath, ["--import", "tsx", script, way]);
      return JSON.parse(stdout) as { peak: number; loaded: number; total: number };
    };
    const whole = await peak("whole");
    const cut = await peak("cut");
    expect(Math.abs(cut.total / whole.total - 1)).toBeLessThan(1e-5);
    expect(whole.peak - whole.loaded).toBeGreaterThan(500e6);
    expect((cut.peak - cut.loaded) / (whole.peak - whole.loaded)).toBeLessThan(2 / 3);
  });
});
