/** @file LoRA beside one layer: its results and gradients against a float64 reference. */

import { describe, expect, it } from "vitest";
import { Generator } from "../../diffusion/random.js";
import { floats } from "../../engine/engine.js";
import { blockingEngine } from "../../engine/ort/blocking-engine.js";
import { conv2d, linear } from "../../nn.js";
import { input, mean, mul, reshape } from "../../tensor/operations.js";
import type { Params } from "../../tensor/params.js";
import { count, type Shape, type Tensor } from "../../tensor/tensor.js";
import { layoutOf, wholeProgram } from "../gradient-program.js";
import { trainedParams } from "./adapter.js";
import type { LoraOptions } from "./options.js";
import { initialiseLora, tracedWeights } from "./weights.js";

const lora: LoraOptions = {
  rank: 3,
  alpha: 6,
  targets: ["conv", "to_q"],
  names: "diffusers",
  dtype: "float32",
};

type Conv = { kernel: number; stride: number; padding: number };

/** The mean square of a convolution with W + alpha / rank B A and a bias, in float64. x: [i, H, W]; one image. */
function reference(
  { x, w, bias, a, b }: Record<"x" | "w" | "bias" | "a" | "b", Float64Array>,
  [out, width, H, W]: readonly [number, number, number, number],
  { kernel, stride, padding }: Conv,
): number {
  const { rank, alpha } = lora;
  const size = width * kernel * kernel;
  const fused = w.map((value, at) => {
    const [o, j] = [Math.floor(at / size), at % size];
    let sum = 0;
    for (let r = 0; r < rank; r++) sum += b[o * rank + r]! * a[r * size + j]!;
    return value + (alpha / rank) * sum;
  });
  const along = (length: number) => Math.floor((length + 2 * padding - kernel) / stride) + 1;
  let squares = 0;
  for (let o = 0; o < out; o++)
    for (let row = 0; row < along(H); row++)
      for (let column = 0; column < along(W); column++) {
        let y = bias[o]!;
        for (let j = 0; j < size; j++) {
          const [i, dy, dx] = [Math.floor(j / kernel ** 2), Math.floor(j / kernel) % kernel, j % kernel];
          const [py, px] = [row * stride - padding + dy, column * stride - padding + dx];
          if (py >= 0 && py < H && px >= 0 && px < W) y += fused[o * size + j]! * x[(i * H + py) * W + px]!;
        }
        squares += y * y;
      }
  return squares / (out * along(H) * along(W));
}

/** The loss and the gradients of A and B by the engine, and by central differences of the reference. */
async function compared(
  layer: (p: Params, x: Tensor) => Tensor,
  shape: Shape,
  sizes: readonly [number, number, number, number],
  conv: Conv,
) {
  const [trained, frozen] = [new Map<string, Tensor>(), new Map<string, Tensor>()];
  const y = layer(trainedParams(lora, trained, frozen), input("x", shape));
  const loss = { params: trained, outputs: { total: reshape(mean(mul(y, y)), [1]) } };
  const layout = layoutOf(loss);
  const generator = new Generator(1);
  const values = Object.fromEntries(
    [...frozen].map(([path, t]) => [path, floats(generator.normal(count(t.shape)), ...t.shape)]),
  );
  const x = generator.normal(count(shape));
  const weights = generator.normal(layout.total);
  const gradient = new Float32Array(layout.total);
  const program = await wholeProgram(blockingEngine({ threads: 1 }), loss, layout);
  const terms = await program.run(weights, { ...values, x: floats(x, ...shape) }, gradient);
  await program.release();

  const [weight, bias] = [...frozen.keys()].map((path) =>
    Float64Array.from(values[path]!.data as Float32Array),
  );
  const [first] = [...layout.slices.values()];
  // A linear layer is a convolution of one pixel, its rows being images one pixel wide.
  const pixels = shape.length === 3 ? transposed(x, shape[1]!, shape[2]!) : x;
  const lossAt = (all: Float64Array) =>
    reference(
      {
        x: Float64Array.from(pixels),
        w: weight!,
        bias: bias!,
        a: all.subarray(0, first!.length),
        b: all.subarray(first!.length),
      },
      sizes,
      conv,
    );
  const at = Float64Array.from(weights);
  const moved = (i: number, by: number) => lossAt(at.map((v, j) => (i === j ? v + by : v)));
  const differences = [...at.keys()].map((i) => (moved(i, 1e-5) - moved(i, -1e-5)) / 2e-5);
  return { loss: terms.total![0]! / lossAt(at), gradient, differences, paths: [...layout.slices.keys()] };
}

/** [N, C] -> [C, N] */
const transposed = (x: Float32Array, rows: number, columns: number) =>
  x.map((_, i) => x[(i % rows) * columns + Math.floor(i / rows)]!);

function expectEqual({ loss, gradient, differences }: Awaited<ReturnType<typeof compared>>): void {
  expect(loss).toBeCloseTo(1, 5);
  const largest = Math.max(...differences.map(Math.abs));
  for (const [i, d] of differences.entries()) expect(Math.abs(gradient[i]! - d) / largest).toBeLessThan(1e-5);
}

describe("a LoRA", () => {
  it("of a linear layer has the gradients of W + alpha / rank B A", async () => {
    const result = await compared((p, x) => linear(p.at("attn1.to_q"), x, 5), [1, 7, 4], [5, 4, 7, 1], {
      ...{ kernel: 1, stride: 1, padding: 0 },
    });
    expect(result.paths).toEqual(["attn1.to_q.lora_A.weight", "attn1.to_q.lora_B.weight"]);
    expectEqual(result);
  });

  it("of a convolution with a stride has them too, A taking its kernel", async () => {
    const layer = (p: Params, x: Tensor) => conv2d(p.at("conv"), x, 5, { stride: 2 });
    expectEqual(await compared(layer, [1, 4, 6, 5], [5, 4, 6, 5], { kernel: 3, stride: 2, padding: 1 }));
  });

  it("begins without an effect, A within 1 / sqrt(fan in) and B at 0", () => {
    const { trained } = tracedWeights((p) => conv2d(p.at("conv"), input("x", [1, 4, 6, 5]), 5), lora);
    const layout = layoutOf({ params: trained });
    const weights = new Float32Array(layout.total).fill(Number.NaN);
    initialiseLora(weights, layout, 0);
    const [a, b] = [layout.view(weights, "conv.lora_A.weight"), layout.view(weights, "conv.lora_B.weight")];
    expect(b.every((x) => x === 0)).toBe(true);
    const largest = Math.max(...a.map(Math.abs));
    expect(largest).toBeLessThanOrEqual(1 / 6);
    expect(largest).toBeGreaterThan(0.9 / 6);
  });

  it("is refused for what is no layer of the network, and for what has no weight of its own", () => {
    const network = (p: Params) =>
      p.at("attn1").layer(() => linear(p.at("attn1.to_q"), input("x", [1, 7, 4]), 5));
    const traced = (targets: string[]) => () => tracedWeights(network, { ...lora, targets });
    expect(traced(["to_qq"])).toThrow(
      'lora.targets: must name layers of the network, got "to_qq". Did you mean "to_q"?',
    );
    expect(traced(["to_q", "attn1"])).toThrow(
      "lora.targets: must name linear layers and convolutions, got attn1. Name the layers inside it.",
    );
    expect([...traced(["attn1.to_q", "conv1"])().trained.keys()]).toHaveLength(2);
  });
});
