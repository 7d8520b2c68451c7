/** @file What the self-test of a device computes: small graphs, each with the operators that it is about. */

import * as t from "../../tensor/operations.js";
import { count, type Shape, type Tensor } from "../../tensor/tensor.js";
import type { Device } from "../device.js";
import type { Values } from "../program.js";

export type Check = {
  readonly name: string;
  /** What lowering must choose for the operator to be used: the check is of that choice. */
  readonly lowering?: Partial<Device>;
  readonly outputs: Readonly<Record<string, Tensor>>;
  readonly inputs: Readonly<Record<string, Values>>;
};

/** Capabilities that a device is given up by itself where its check fails. */
export type FusedCapability = "fusedAttention" | "fusedMatmul" | "fusedSilu" | "gemm";

/** Numbers of about -1 to 1, times `scale`, plus `mean`; always the same. */
function numbers(shape: Shape, seed: number, { scale = 1, mean = 0 } = {}): Values {
  const data = Float32Array.from(
    { length: count(shape) },
    (_, i) => mean + scale * Math.sin(seed + 1.3 * i * i),
  );
  return { data, shape };
}

/** The input of a check, for graphs that read it once, and the outputs of functions of it. */
const x = (...shape: number[]) => t.input("x", shape);
const of = <K extends string>(x: Tensor, functions: Readonly<Record<K, (x: Tensor) => Tensor>>) =>
  Object.fromEntries(Object.entries<(x: Tensor) => Tensor>(functions).map(([name, f]) => [name, f(x)]));

/** More than 32 queries: below that ONNX Runtime's kernel for WebGPU is right even where it is wrong. */
const [queries, keys] = [64, 77];
const attention = {
  outputs: {
    y: t.attention(x(1, queries, 64), t.input("k", [1, keys, 64]), t.input("v", [1, keys, 64]), 2),
  },
  inputs: {
    x: numbers([1, queries, 64], 1, { scale: 2 }),
    k: numbers([1, keys, 64], 2, { scale: 2 }),
    v: numbers([1, keys, 64], 3),
  },
};

export const fusedChecks: Readonly<Record<FusedCapability, Check>> = {
  fusedAttention: { name: "MultiHeadAttention", lowering: { fusedAttention: true }, ...attention },
  fusedMatmul: {
    name: "FusedMatMul",
    lowering: { fusedMatmul: true },
    outputs: { y: t.matmul(x(2, 24, 40), t.input("w", [2, 16, 40]), { transposeB: true }) },
    inputs: { x: numbers([2, 24, 40], 1), w: numbers([2, 16, 40], 2) },
  },
  fusedSilu: {
    name: "QuickGelu",
    lowering: { fusedSilu: true },
    outputs: of(x(2, 200), { silu: t.silu, quickGelu: t.quickGelu }),
    inputs: { x: numbers([2, 200], 1, { scale: 12 }) },
  },
  gemm: {
    name: "Gemm",
    lowering: { gemm: true },
    outputs: {
      y: t.add(t.matmul(x(2, 19, 320), t.param("w", [40, 320]), { transposeB: true }), t.param("b", [40])),
    },
    inputs: { x: numbers([2, 19, 320], 1), w: numbers([40, 320], 2), b: numbers([40], 3) },
  },
};

/** Up to the largest angle of a timestep's embedding. */
export const sineCheck: Check = {
  name: "Sin and Cos",
  lowering: { hostSinusoids: false },
  outputs: of(x(512), { sin: t.sin, cos: t.cos }),
  inputs: { x: { data: Float32Array.from({ length: 512 }, (_, i) => (999 * i) / 511), shape: [512] } },
};

/** Two epsilons and small numbers, whose variances are of the size of the epsilons. */
const groupNorms = (shape: Shape) => {
  const image = t.input("x", shape);
  const weights = [t.param("w", [shape[1]!]), t.param("b", [shape[1]!])] as const;
  return Object.fromEntries(
    [1e-5, 1e-6].map((eps) => [`eps ${eps}`, t.groupNorm(image, ...weights, 4, eps)]),
  );
};

const image = x(2, 8, 12, 10);
const [threes, ones, bias] = [t.param("w3", [16, 8, 3, 3]), t.param("w1", [16, 8, 1, 1]), t.param("b", [16])];

export const requiredChecks: readonly Check[] = [
  {
    name: "attention in slices",
    lowering: { fusedAttention: false, attentionBytes: 2 ** 14 },
    ...attention,
  },
  {
    name: "MatMul",
    lowering: { gemm: false, fusedMatmul: false },
    outputs: { y: t.matmul(x(2, 24, 40), t.input("w", [2, 16, 40]), { transposeB: true }) },
    inputs: { x: numbers([2, 24, 40], 1), w: numbers([2, 16, 40], 2) },
  },
  {
    name: "Conv",
    outputs: {
      square: t.conv2d(image, threes, bias, { padding: 1 }),
      strided: t.conv2d(image, threes, bias, { stride: 2, padding: 1 }),
      point: t.conv2d(image, ones, bias),
    },
    inputs: {
      x: numbers([2, 8, 12, 10], 1),
      w3: numbers([16, 8, 3, 3], 2),
      w1: numbers([16, 8, 1, 1], 3),
      b: numbers([16], 4),
    },
  },
  {
    name: "InstanceNormalization",
    outputs: groupNorms([2, 16, 5, 7]),
    inputs: { x: numbers([2, 16, 5, 7], 1, { scale: 0.007 }), w: numbers([16], 2), b: numbers([16], 3) },
  },
  {
    name: "LayerNormalization",
    outputs: {
      y: t.layerNorm(x(3, 20, 96), t.param("w", [96]), t.param("b", [96]), 1e-5),
    },
    inputs: { x: numbers([3, 20, 96], 1, { mean: 3 }), w: numbers([96], 2), b: numbers([96], 3) },
  },
  {
    name: "elementwise",
    outputs: of(x(4, 100), {
      gelu: t.gelu,
      softmax: t.softmax,
      sigmoid: t.sigmoid,
      tanh: t.tanh,
      quotient: (x) => t.div(x, t.add(t.exp(x), 1)),
    }),
    inputs: { x: numbers([4, 100], 1, { scale: 6 }) },
  },
  {
    name: "copies",
    outputs: {
      resized: t.resize(image, t.input("like", [2, 8, 25, 19])),
      doubled: t.upsample(image, 2),
      joined: t.concat([t.slice(image, 1, 2, 6), image], 1),
      tokens: t.transpose(t.reshape(image, [t.keep, t.keep, -1]), [0, 2, 1]),
      padded: t.pad(image, [0, 0, 1, 2], [0, 0, 0, 1]),
    },
    inputs: { x: numbers([2, 8, 12, 10], 1), like: numbers([2, 8, 25, 19], 2) },
  },
];
