/**
 * @file What ONNX Runtime's operators are off in float16 on WebGPU: each on inputs that are float16 already, against the
 * CPU in float32. `npx tsx bench/float16-operators.ts`; docs/numerics.md has the results.
 */

import * as ort from "onnxruntime-node";
import { Generator } from "../src/diffusion/random.js";
import { GraphWriter } from "../src/engine/onnx.js";
import { count } from "../src/tensor/tensor.js";
import { float16ToFloat32, float32ToFloat16 } from "../src/weights/half.js";

type FloatType = "F32" | "F16";
type Build = (g: GraphWriter, x: string, type: FloatType) => string;

const castTypes = { F32: 1, F16: 10 } as const;
const rounded = (x: Float32Array) => float16ToFloat32(float32ToFloat16(x));

/** Normal numbers of a layer's usual size, exact in float16. */
function weight(g: GraphWriter, type: FloatType, ...dims: number[]): string {
  const fan = count(dims) / dims[0]!;
  const values = new Generator(9).normal(count(dims)).map((v) => v / Math.sqrt(fan));
  return g.constant(rounded(values), dims, type);
}
const filled = (g: GraphWriter, type: FloatType, size: number, value: number) =>
  g.constant(new Float32Array(size).fill(value), [size], type);
const epsilon = { float: 1e-5 };

const softmax: Build = (g, x) => g.node("Softmax", [x], { axis: -1 });
const gemm =
  (terms: number): Build =>
  (g, x, type) =>
    g.node("Gemm", [x, weight(g, type, 64, terms)], { transB: 1 });
const conv =
  (channels: number, kernel: number): Build =>
  (g, x, type) =>
    g.node("Conv", [x, weight(g, type, 32, channels, kernel, kernel)], {
      kernel_shape: [kernel, kernel],
      pads: Array(4).fill((kernel - 1) / 2),
    });

const cases: readonly (readonly [name: string, shape: readonly number[], build: Build])[] = [
  ["Gemm of 640 terms", [64, 640], gemm(640)],
  ["Gemm of 5,120 terms", [64, 5120], gemm(5120)],
  [
    "MatMul of weights and 1,024 values",
    [1, 4, 16, 1024],
    (g, x, type) => g.node("MatMul", [softmax(g, x, type), weight(g, type, 1, 4, 1024, 64)]),
  ],
  ["Conv 3x3 of 320 channels", [1, 320, 16, 16], conv(320, 3)],
  ["Conv 1x1 of 1,280 channels", [1, 1280, 8, 8], conv(1280, 1)],
  ["Softmax of 64", [1, 8, 64, 64], softmax],
  ["Softmax of 4,096", [1, 2, 8, 4096], softmax],
  [
    "LayerNormalization of 1,280",
    [2, 16, 1280],
    (g, x, type) =>
      g.node("LayerNormalization", [x, filled(g, type, 1280, 1), filled(g, type, 1280, 0)], {
        axis: -1,
        epsilon,
      }),
  ],
  [
    "InstanceNormalization of 10,240",
    [1, 32, 10240],
    (g, x, type) =>
      g.node("InstanceNormalization", [x, filled(g, type, 32, 1), filled(g, type, 32, 0)], { epsilon }),
  ],
  ["Gelu", [1, 4096], (g, x) => g.node("Gelu", [x])],
  ["QuickGelu", [1, 4096], (g, x) => g.contrib("QuickGelu", [x], { alpha: { float: 1.702 } })],
];

/** x -> the operator's result, computed in `type`. */
function model(shape: readonly number[], build: Build, type: FloatType): Uint8Array {
  const g = new GraphWriter();
  const x = g.node("Cast", [g.input("x", "F32", shape)], { to: castTypes[type] });
  const y = g.node("Cast", [build(g, x, type)], { to: castTypes.F32 });
  return g.encode("operator", [{ name: "y", value: y, type: "F32", rank: shape.length }]).model;
}

async function run(bytes: Uint8Array, provider: string, x: ort.Tensor): Promise<Float32Array> {
  const session = await ort.InferenceSession.create(bytes, {
    executionProviders: [provider],
    graphOptimizationLevel: "disabled",
  });
  const { y } = await session.run({ x });
  await session.release();
  return y!.data as Float32Array;
}

const generator = new Generator(3);
for (const [name, shape, build] of cases) {
  const x = new ort.Tensor("float32", rounded(generator.normal(count(shape))), shape);
  const expected = await run(model(shape, build, "F32"), "cpu", x);
  const got = await run(model(shape, build, "F16"), "webgpu", x);
  const largest = expected.reduce((most, v) => Math.max(most, Math.abs(v)), 0);
  const apart = expected.reduce((most, v, i) => Math.max(most, Math.abs(v - got[i]!)), 0);
  console.log(`${name.padEnd(36)} ${(apart / largest).toExponential(1)}`);
}
