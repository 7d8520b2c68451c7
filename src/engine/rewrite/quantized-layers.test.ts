/** @file Which weights are quantised, and that ONNX Runtime computes with them what they stand for. */

import { describe, expect, it } from "vitest";
import { Generator } from "../../diffusion/random.js";
import { add, conv2d, gather, input, matmul, mul, param } from "../../tensor/operations.js";
import { topological } from "../../tensor/order.js";
import type { Padding, Tensor } from "../../tensor/tensor.js";
import { dequantizeBlocks, quantizeBlocks, quantizeKernel, quantizeRows } from "../../weights/quantize.js";
import { cpu } from "../device.js";
import { floats, floatsOf, type Values } from "../engine.js";
import { lower } from "../lower.js";
import { blockingEngine } from "../ort/blocking-engine.js";
import type { StoredWeight } from "../program.js";
import { unsaturatedBits } from "../saturation.js";
import { quantizableWeights, quantizeLayers } from "./quantized-layers.js";

const int8 = { ...cpu, weights: "int8" as const };
const linear = (x: Tensor, path: string, N: number) =>
  matmul(x, param(path, [N, x.shape.at(-1)!]), { transposeB: true });
const tokens = input("x", [{ B: 2 }, { N: 5 }, 64]);

describe("the weights that can be quantised", () => {
  it("are those of linear layers over tokens", () => {
    const pooled = input("pooled", [{ B: 2 }, 64]);
    const [narrow, square] = [input("narrow", [{ B: 2 }, { N: 5 }, 4]), param("square", [64, 64])];
    const graph = {
      tokens: linear(tokens, "w", 32),
      rows: linear(pooled, "time", 32),
      narrow: linear(narrow, "narrow", 32),
      turned: matmul(tokens, square),
    };
    expect([...quantizableWeights(graph, "int8")]).toEqual([["w", [32, 64]]]);
  });

  it("are those of convolutions too where a format has them, but for the few channels of latents", () => {
    const latents = input("latents", [{ B: 2 }, 4, { H: 8 }, { W: 8 }]);
    const inner = conv2d(latents, param("in", [16, 4, 3, 3]), param("b", [16]), { padding: 1 });
    const wide = conv2d(inner, param("w", [32, 16, 3, 3]), param("c", [32]), { padding: 1 });
    const graph = { y: conv2d(wide, param("out", [4, 32, 3, 3]), undefined, { padding: 1 }) };
    expect([...quantizableWeights(graph, "int8-fast")]).toEqual([["w", [32, 16, 3, 3]]]);
    expect(quantizableWeights(graph, "int8").size).toBe(0);
  });

  it("are read by nothing else: a table of embeddings stays", () => {
    const ids = input("ids", [{ B: 2 }, { N: 5 }], "int64");
    const table = param("table", [32, 64]);
    const graph = { y: matmul(gather(table, ids), table, { transposeB: true }), z: linear(tokens, "w", 32) };
    expect([...quantizableWeights(graph, "int8").keys()]).toEqual(["w"]);
  });
});

const bytes = (x: ArrayBufferView) => new Uint8Array(x.buffer as ArrayBuffer, x.byteOffset, x.byteLength);
const weight = (data: ArrayBufferView, dtype: StoredWeight["dtype"], shape: number[]): StoredWeight => ({
  ...{ dtype, shape, data: bytes(data) },
});
const fast = { ...cpu, weights: "int8-fast" as const };

describe("a quantised layer", () => {
  /** x of 2 x 3 rows of K numbers through a layer of N rows, and the same in double precision. */
  async function computed(x: Float32Array, w: Float32Array, bias: Float32Array, K: number, block: number) {
    const N = bias.length;
    const { codes, scales } = quantizeBlocks(w, block);
    const tensor = input("x", [{ B: 2 }, 3, K]);
    const y = add(linear(tensor, "w", N), param("b", [N]));
    const weights = new Map([
      ["w", weight(codes, "U8", [N, K / block, block])],
      ["w.scales", weight(scales, "F32", [N, K / block])],
      ["b", weight(bias, "F32", [N])],
    ]);
    const session = await blockingEngine({ threads: 1 }).load(
      lower("layer", { y }, { device: int8, weights }),
    );
    const actual = floatsOf((await session.run({ x: floats(x, 2, 3, K) })).y);
    await session.release();
    const exact = dequantizeBlocks(codes, scales);
    const wanted = Float32Array.from({ length: 6 * N }, (_, i) => {
      const [row, n] = [Math.floor(i / N), i % N];
      let sum = bias[n]!;
      for (let k = 0; k < K; k++) sum += x[row * K + k]! * exact[n * K + k]!;
      return sum;
    });
    return { actual, wanted };
  }

  it.each([
    [128, 256],
    [64, 320],
    [32, 96],
    [16, 48],
  ])(
    "in blocks of %i computes what its codes stand for, with a row of x in eight bits too",
    async (block, K) => {
      const random = new Generator(5);
      const [x, w, bias] = [6 * K, 24 * K, 24].map((n) => random.normal(n)) as [
        Float32Array,
        Float32Array,
        Float32Array,
      ];
      const { actual, wanted } = await computed(x, w, bias, K, block);
      const norm = (of: (i: number) => number) => Math.hypot(...Array.from(wanted, (_, i) => of(i)));
      // A step of a block is 1 / 127 of its largest number, about 3 sigma; the error of rounding is step / sqrt(12).
      expect(norm((i) => actual[i]! - wanted[i]!) / norm((i) => wanted[i]!)).toBeLessThan(1e-2);
    },
  );

  it.each(["int8", "int8-fast"] as const)(
    "of %s takes the bias that is added to it, and leaves other sums",
    (format) => {
      const y = add(linear(tokens, "w", 32), param("b", [32]));
      const z = mul(linear(tokens, "v", 64), param("s", [64]));
      const graph = quantizeLayers({ y, z }, format, (path) => path !== "other");
      const ops = topological(Object.values(graph)).map(({ op }) => op);
      expect(ops.filter((op) => /uantizedLinear$/.test(op))).toHaveLength(2);
      expect(ops).not.toContain("add");
      expect(graph.z.op).toBe("mul");
    },
  );

  it("of whole rows computes what its codes stand for, in as many bits as do not saturate", async () => {
    const engine = blockingEngine({ threads: 1 });
    const bits = await unsaturatedBits(engine);
    const [K, N] = [128, 24];
    for (const [x, w] of [
      [new Float32Array(6 * K).fill(1), new Float32Array(N * K).fill(1)],
      [new Generator(3).normal(6 * K), new Generator(4).normal(N * K)],
    ] as const) {
      const { codes, scales } = quantizeRows(w, N, bits);
      const y = linear(input("x", [{ B: 2 }, 3, K]), "w", N);
      const weights = new Map([
        ["w", weight(codes, "I8", [K, N])],
        ["w.scales", weight(scales, "F32", [N])],
      ]);
      const session = await engine.load(lower("layer", { y }, { device: fast, weights }));
      const actual = floatsOf((await session.run({ x: floats(x, 2, 3, K) })).y);
      await session.release();
      let [error, norm] = [0, 0];
      for (const [i, value] of actual.entries()) {
        const [row, n] = [Math.floor(i / N), i % N];
        let sum = 0;
        for (let k = 0; k < K; k++) sum += x[row * K + k]! * codes[k * N + n]! * scales[n]!;
        error += (value - sum) ** 2;
        norm += sum ** 2;
      }
      // x is quantised whole: a step is 1 / 255 of its range, about 7 sigma.
      expect(Math.sqrt(error / norm)).toBeLessThan(2e-2);
    }
  });

  it("does not saturate: the largest codes of one sign sum to what they are, without VNNI too", async () => {
    const K = 256;
    const [x, w] = [new Float32Array(6 * K).fill(1), new Float32Array(24 * K).fill(1)];
    const { actual } = await computed(x, w, new Float32Array(24), K, 128);
    for (const value of actual) expect(value).toBeCloseTo(K, 2);
  });
});

describe("a quantised convolution", () => {
  const [B, C, O] = [2, 16, 24];

  /** The convolution of an image of open size with the kernel quantised, and with the float32 kernel of its codes. */
  async function both(
    kernel: readonly [number, number],
    attrs: { stride: number; padding: Padding | number },
  ) {
    const engine = blockingEngine({ threads: 1 });
    const shape = [O, C, ...kernel] as const;
    const places = kernel[0] * kernel[1];
    const random = new Generator(7);
    const [x, w, bias] = [random.normal(B * C * 9 * 11), random.normal(O * C * places), random.normal(O)];
    const { codes, scales } = quantizeKernel(w, shape, await unsaturatedBits(engine));
    const exact = Float32Array.from(w, (_, i) => {
      const [o, c, at] = [Math.floor(i / (C * places)), Math.floor(i / places) % C, i % places];
      return codes[(at * C + c) * O + o]! * scales[o]!;
    });
    const image = input("x", [{ B }, C, { H: 9 }, { W: 11 }]);
    const y = conv2d(image, param("w", [...shape]), param("b", [O]), attrs);
    const given = {
      "int8-fast": [
        ["w", weight(codes, "I8", [C * places, O])],
        ["w.scales", weight(scales, "F32", [O])],
      ],
      stored: [["w", weight(exact, "F32", [...shape])]],
    } as const;
    const results = [];
    for (const weights of ["int8-fast", "stored"] as const) {
      const stored = new Map<string, StoredWeight>([...given[weights], ["b", weight(bias, "F32", [O])]]);
      const device = { ...cpu, weights };
      const session = await engine.load(lower("convolution", { y }, { device, weights: stored }));
      results.push((await session.run({ x: floats(x, B, C, 9, 11) })).y!);
      await session.release();
    }
    return results as [Values, Values];
  }

  it.each([
    ["3x3", [3, 3], { stride: 1, padding: 1 }],
    ["3x3 at every other pixel", [3, 3], { stride: 2, padding: 1 }],
    ["3x3 with padding at the end alone", [3, 3], { stride: 2, padding: [0, 0, 1, 1] }],
    ["1x1", [1, 1], { stride: 1, padding: 0 }],
    ["3x1", [3, 1], { stride: 1, padding: [1, 0, 1, 0] }],
  ] as const)("of %s computes what its codes stand for", async (_, kernel, attrs) => {
    const [actual, wanted] = await both(kernel, { ...attrs });
    expect(actual.shape).toEqual(wanted.shape);
    const [a, b] = [floatsOf(actual), floatsOf(wanted)];
    const norm = (of: (i: number) => number) => Math.hypot(...Array.from(b, (_, i) => of(i)));
    // x is quantised whole: a step is 1 / 255 of its range, about 8 sigma, and rounding errs by step / sqrt(12).
    expect(norm((i) => a[i]! - b[i]!) / norm((i) => b[i]!)).toBeLessThan(1.2e-2);
  });
});
