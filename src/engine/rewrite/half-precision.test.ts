/** @file Typing for float16: which operations compute in it, and how far the results are from float32's. */

import { describe, expect, it } from "vitest";
import { Generator } from "../../diffusion/random.js";
import * as t from "../../tensor/operations.js";
import { topological } from "../../tensor/order.js";
import { Params, tracing } from "../../tensor/params.js";
import { made, type Tensor } from "../../tensor/tensor.js";
import { floats, floatsOf } from "../engine.js";
import { lower } from "../lower.js";
import { blockingEngine } from "../ort/blocking-engine.js";
import { halfPrecision } from "./half-precision.js";

/** A timestep's sinusoid through a layer, added to an image's convolution, normed and averaged. */
function network(): { out: Tensor; seen: Tensor } {
  const p = new Params(tracing());
  const timestep = t.input("timestep", [2]);
  const angles = t.mul(t.reshape(timestep, [t.keep, 1]), t.constant(Float32Array.of(1, 0.1, 0.01, 0.001)));
  const sinusoid = t.concat([t.cos(angles), t.sin(angles)], 1);
  const time = t.matmul(sinusoid, p.get("time.weight", [6, 8]), { transposeB: true });
  const image = t.input("image", [2, 3, 5, 7]);
  const conv = t.conv2d(image, p.get("conv.weight", [6, 3, 3, 3]), undefined, { padding: 1 });
  const added = t.silu(t.add(conv, t.reshape(time, [t.keep, 6, 1, 1])));
  return { out: t.mean(added, [2, 3]), seen: sinusoid };
}

describe("typing for float16", () => {
  const typed = halfPrecision(network(), "cuda");
  const all = topological(Object.values(typed));
  const of = (op: Tensor["op"]) => all.filter((x) => x.op === op);

  it("leaves inputs, sinusoids, sums and results in float32", () => {
    for (const op of ["input", "cos", "sin", "mean"] as const)
      for (const x of of(op)) expect([op, x.dtype]).toEqual([op, "float32"]);
    expect([typed.out.dtype, typed.seen.dtype]).toEqual(["float32", "float32"]);
  });

  it("computes products and what follows them in float16, with weights read as such", () => {
    for (const op of ["matmul", "conv2d", "silu", "add", "param"] as const)
      for (const x of of(op)) expect([op, x.dtype]).toEqual([op, "float16"]);
  });

  it("converts each tensor once", () => {
    const casts = all.filter((x) => made("cast", x));
    expect(new Set(casts.map((x) => x.inputs[0])).size).toBe(casts.length);
  });

  it("leaves convolutions in float32 on WebGPU, which sums them in float16", () => {
    const kept = topological(Object.values(halfPrecision(network(), "webgpu")));
    const types = (op: Tensor["op"]) => kept.filter((x) => x.op === op).map((x) => x.dtype);
    expect([types("conv2d"), types("matmul"), types("add")]).toEqual([["float32"], ["float16"], ["float16"]]);
  });

  it("loads, and leaves results within float16's rounding", async () => {
    const generator = new Generator(5);
    const inputs = {
      timestep: floats(Float32Array.of(999, 3), 2),
      image: floats(generator.normal(210), 2, 3, 5, 7),
      "time.weight": floats(generator.normal(48), 6, 8),
      "conv.weight": floats(generator.normal(162), 6, 3, 3, 3),
    };
    const engine = blockingEngine({ threads: 1 });
    const run = async (graph: ReturnType<typeof network>) =>
      (await engine.load(lower("network", graph))).run(inputs);
    const [half, single] = [await run(typed), await run(network())];
    expect(floatsOf(half.seen)).toEqual(floatsOf(single.seen));
    const [a, b] = [floatsOf(half.out), floatsOf(single.out)];
    const largest = Math.max(...b.map(Math.abs));
    const apart = Math.max(...b.map((v, i) => Math.abs(v - a[i]!))) / largest;
    // Half a unit of the last place is 2^-11; a few roundings may follow one another. ONNX Runtime's CPU provider has no
    // kernels of float16 and leaves the roundings out; `npm run golden -- --dtype float16` compares a device that has.
    expect(apart).toBeLessThan(2 ** -8);
  });
});
