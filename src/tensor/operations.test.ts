/**
 * @file Operations and their gradients against PyTorch's values (`golden/data/distil/ops`), through ONNX Runtime.
 * What is no operation of ours is written here as a composition of those that are.
 */

import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { cpu, standard } from "../engine/device.js";
import { floatsOf, type Values } from "../engine/engine.js";
import { lower } from "../engine/lower.js";
import { blockingEngine } from "../engine/ort.js";
import { parseHeader } from "../weights/safetensors.js";
import { vjp } from "./gradient.js";
import * as t from "./tensor.js";
import { add, constant, div, matmul, mul, relu, reshape, sub, type Tensor, transpose } from "./tensor.js";

type Attributes = {
  [name in
    | "stride"
    | "padding"
    | "output_padding"
    | "groups"
    | "eps"
    | "exponent"
    | "kernel"
    | "axis"]: number;
} & {
  [name in "start" | "end" | "step" | "value" | "beta"]: number;
} & {
  min: number | null;
  max: number | null;
  keepdims: boolean;
  causal: boolean;
  reduction: "mean" | "sum";
} & {
  [name in "axes" | "shape" | "permutation" | "before" | "after"]: number[];
} & { scale?: number; size?: [number, number] };

type Case = {
  id: string;
  op: string;
  attributes: Attributes;
  note?: string;
  inputs: Record<string, number[]>;
  output: number[];
  gradients: string[];
};

const folder = new URL("../../golden/data/distil/", import.meta.url);
const { cases } = JSON.parse(readFileSync(new URL("ops.json", folder), "utf8")) as { cases: Case[] };
const file = readFileSync(new URL("ops.safetensors", folder));
const { tensors } = parseHeader(file, file.length, "ops.safetensors");

/** A stored tensor; the bytes of a condition become float32. */
function stored(name: string): Values {
  const { dtype, shape, offset, length } = tensors.get(name)!;
  const bytes = Uint8Array.from(file.subarray(offset, offset + length));
  if (dtype === "F32") return { data: new Float32Array(bytes.buffer), shape };
  if (dtype === "I64") return { data: new BigInt64Array(bytes.buffer), shape };
  return { data: Float32Array.from(bytes), shape };
}

type Operation = (x: Record<string, Tensor>, a: Attributes) => Tensor;
const unary =
  (op: (x: Tensor) => Tensor): Operation =>
  ({ x }) =>
    op(x!);
const binary =
  (op: (a: Tensor, b: Tensor) => Tensor): Operation =>
  ({ input, other }) =>
    op(input!, other!);
const loss =
  (of: (difference: Tensor, a: Attributes) => Tensor): Operation =>
  ({ input, target }, a) =>
    reshape(reductions[a.reduction](of(sub(input!, target!), a)), []);

const reductions = { sum: t.sum, mean: t.mean, max: largest };

const operations: Record<string, Operation> = {
  conv2d: ({ x, weight, bias }, { stride, padding }) => t.conv2d(x!, weight!, bias, { stride, padding }),
  conv_transpose2d: ({ x, weight, bias }, { stride, padding: p, output_padding: more }) => {
    const reach = (axis: number) => (x!.shape[axis]! - 1) * stride - 2 * p + weight!.shape[axis]! + more;
    const size = [reach(2), reach(3)] as const;
    const y = t.conv2dTranspose(x!, weight!, { stride, padding: [p, p, p, p], size });
    return bias ? add(y, reshape(bias, [-1, 1, 1])) : y;
  },
  linear: ({ x, weight, bias }) => {
    const y = matmul(x!, weight!, { transposeB: true });
    return bias ? add(y, bias) : y;
  },
  matmul: binary((a, b) => matmul(a, b)),
  group_norm: ({ x, weight, bias }, { groups, eps }) => {
    const image = x!.rank === 4 ? x! : reshape(x!, [...x!.shape, 1]);
    return reshape(t.groupNorm(image, weight!, bias!, groups, eps), x!.shape);
  },
  layer_norm: ({ x, weight, bias }, { eps }) => {
    const D = x!.shape.at(-1)!;
    const [ones, zeros] = [constant(new Float32Array(D).fill(1)), constant(new Float32Array(D))];
    return t.layerNorm(x!, weight ?? ones, bias ?? zeros, eps);
  },
  softmax: unary(t.softmax),
  log_softmax: unary(logSoftmax),
  silu: unary(t.silu),
  gelu_erf: unary(t.gelu),
  gelu_tanh: unary((x) => {
    const cubic = add(x, mul(mul(x, mul(x, x)), 0.044715));
    return mul(mul(x, 0.5), add(t.tanh(mul(cubic, Math.sqrt(2 / Math.PI))), 1));
  }),
  quick_gelu: unary(t.quickGelu),
  sigmoid: unary(t.sigmoid),
  tanh: unary(t.tanh),
  exp: unary(t.exp),
  log: unary(t.log),
  sqrt: unary(t.sqrt),
  rsqrt: unary((x) => div(t.scalar(1), t.sqrt(x))),
  relu: unary(relu),
  abs: unary(absolute),
  sin: unary(t.sin),
  cos: unary(t.cos),
  erf: unary(t.erf),
  neg: unary(t.neg),
  pow: ({ x }, { exponent }) => powers[exponent]!(x!),
  clamp: ({ x }, { min, max }) => {
    const below = min === null ? t.scalar(0) : t.step(sub(t.scalar(min), x!));
    const above = max === null ? t.scalar(0) : t.step(sub(x!, max));
    const inside = sub(sub(t.scalar(1), below), above);
    return add(mul(x!, inside), add(mul(below, min ?? 0), mul(above, max ?? 0)));
  },
  geglu: unary((x) => {
    const [value, gate] = t.chunk(x, 2, x.rank - 1) as [Tensor, Tensor];
    return mul(value, t.gelu(gate));
  }),
  add: binary(add),
  mul: binary(mul),
  div: binary(div),
  sub: binary(sub),
  mean: reduction("mean"),
  sum: reduction("sum"),
  max: reduction("max"),
  concat: (parts, { axis }) => t.concat(Object.values(parts), axis < 0 ? axis + parts.x0!.rank : axis),
  slice: ({ x }, { axis, start, end, step }) =>
    t.slice(x!, axis, start < 0 ? start + x!.shape[axis]! : start, end, step),
  pad: ({ x }, { before, after, value }) => add(t.pad(sub(x!, value), before, after), value),
  reshape: ({ x }, { shape }) => reshape(x!, shape),
  transpose: ({ x }, { permutation }) => transpose(x!, permutation),
  upsample_nearest: ({ x }, { scale, size }) =>
    scale ? t.upsample(x!, scale) : t.resize(x!, zeros([1, 1, ...size!])),
  average_pool: ({ x }, { kernel, stride, padding }) => {
    const [B, C, H, W] = x!.shape as [number, number, number, number];
    const box = constant(new Float32Array(kernel ** 2).fill(kernel ** -2), [1, 1, kernel, kernel]);
    const y = t.conv2d(reshape(x!, [B * C, 1, H, W]), box, undefined, { stride, padding });
    return reshape(y, [B, C, ...y.shape.slice(2)]);
  },
  attention: ({ query, key, value, mask }, { causal }) => {
    const [B, heads, N, d] = query!.shape as [number, number, number, number];
    if (mask) {
      const scores = mul(matmul(query!, key!, { transposeB: true }), d ** -0.5);
      return matmul(t.softmax(add(scores, mask)), value!);
    }
    const merge = (x: Tensor) => reshape(transpose(x, [0, 2, 1, 3]), [B, x.shape[2]!, heads * d]);
    const y = t.attention(merge(query!), merge(key!), merge(value!), heads, { causal });
    return transpose(reshape(y, [B, N, heads, d]), [0, 2, 1, 3]);
  },
  gather: ({ table, ids }) => t.gather(table!, ids!),
  where: ({ condition, input, other }) =>
    add(mul(condition!, input!), mul(sub(t.scalar(1), condition!), other!)),
  mse_loss: loss((d) => mul(d, d)),
  l1_loss: loss(absolute),
  smooth_l1_loss: loss((d, { beta }) => {
    const distance = absolute(d);
    const near = sub(distance, relu(sub(distance, beta)));
    return div(mul(near, sub(distance, mul(near, 0.5))), beta);
  }),
  cross_entropy: ({ input, target }, { reduction }) => {
    const last = input!.rank === 3 ? transpose(input!, [0, 2, 1]) : input!;
    const classes = last.shape.at(-1)!;
    const ids = reshape(t.cast(target!, "float32"), [...target!.shape, 1]);
    const off = absolute(sub(ids, constant(Float32Array.from({ length: classes }, (_, i) => i))));
    const chosen = sub(t.scalar(1), t.step(off));
    const each = t.neg(t.sum(mul(chosen, logSoftmax(last)), [last.rank - 1]));
    return reshape(reductions[reduction](each), []);
  },
};

const powers: Record<number, (x: Tensor) => Tensor> = {
  2: (x) => mul(x, x),
  3: (x) => mul(x, mul(x, x)),
  0.5: t.sqrt,
  [-1]: (x) => div(t.scalar(1), x),
  1.5: (x) => mul(x, t.sqrt(x)),
};

const zeros = (shape: number[]) => constant(new Float32Array(t.count(shape)), shape);

function absolute(x: Tensor): Tensor {
  return add(relu(x), relu(t.neg(x)));
}

function logSoftmax(x: Tensor): Tensor {
  const shifted = sub(x, largestOfLast(x));
  return sub(shifted, t.log(t.sum(t.exp(shifted), [x.rank - 1])));
}

/** Over the last axis, which stays with size 1. */
function largestOfLast(x: Tensor): Tensor {
  const rows = reshape(x, [-1, x.shape.at(-1)!, 1]);
  const first = reshape(t.argmax(rows, 1), [-1]);
  return reshape(t.pick(rows, first), [...x.shape.slice(0, -1), 1]);
}

/** Ties share the gradient: the mean of all elements that equal the largest. */
function largest(x: Tensor, axes: readonly number[] = [...x.shape.keys()]): Tensor {
  const kept = [...x.shape.keys()].filter((axis) => !axes.includes(axis));
  const moved = transpose(x, [...kept, ...axes]);
  const top = largestOfLast(reshape(moved, [...kept.map((axis) => x.shape[axis]!), -1]));
  const stays = reshape(
    top,
    x.shape.map((d, axis) => (axes.includes(axis) ? 1 : d)),
  );
  const equal = sub(t.scalar(1), t.step(sub(stays, x)));
  return div(t.sum(mul(equal, x), axes), t.sum(equal, axes));
}

function reduction(kind: keyof typeof reductions): Operation {
  return ({ x }, { axes, keepdims }) => {
    const positive = axes.map((axis) => (axis < 0 ? axis + x!.rank : axis));
    const y = reductions[kind](x!, positive);
    return keepdims
      ? y
      : reshape(
          y,
          x!.shape.filter((_, axis) => !positive.includes(axis)),
        );
  };
}

/** The largest difference over the largest expected value; infinite where a result is not a number. */
function distance(actual: Float32Array, expected: Float32Array): number {
  expect(actual.length).toBe(expected.length);
  const differences = actual.map((a, i) => Math.abs(a - expected[i]!));
  if (!differences.every(Number.isFinite)) return Number.POSITIVE_INFINITY;
  const scale = expected.reduce((most, e) => Math.max(most, Math.abs(e)), 0);
  return differences.reduce((most, d) => Math.max(most, d), 0) / (scale || 1);
}

/** PyTorch's own float32 is 4e-5 from float64 where these cancel, and below 8e-7 everywhere else. */
const tolerance = (note = "") => (/mean 300|sharp/.test(note) ? 2e-4 : 1e-5);

it("there are 230 cases of 48 operations, each of them written here", () => {
  expect(cases.length).toBe(230);
  expect(new Set(cases.map((c) => c.op))).toEqual(new Set(Object.keys(operations)));
});

describe.each([
  ["in training", { ...cpu, fusedAttention: false }],
  ["by the ONNX standard alone", standard],
  ["with every fused operator", cpu],
])("lowered as %s, values and gradients are PyTorch's", (_, device) => {
  const engine = blockingEngine({ threads: 1, device });

  it.each(cases.map((c) => [c.id, c] as const))("%s", async (id, c) => {
    const names = Object.keys(c.inputs);
    const given = new Map(names.map((name) => [name, stored(`${id}/${name}`)]));
    const inputs = Object.fromEntries(
      [...given].map(([name, { data, shape }]) => [
        name,
        t.input(name, shape, data instanceof Float32Array ? "float32" : "int64"),
      ]),
    );
    const upstream = t.input("dout", c.output);
    const out = operations[c.op]!(inputs, c.attributes);
    expect(out.shape).toEqual(c.output);
    const targets = c.gradients.map((name) => inputs[name]!);
    const outputs = new Map<string, Tensor>([["out", out]]);
    for (const [i, g] of vjp([out], [upstream], targets).entries()) outputs.set(`d_${c.gradients[i]}`, g!);

    const session = await engine.load(lower(id, Object.fromEntries(outputs), { device }));
    const results = await session.run({ ...Object.fromEntries(given), dout: stored(`${id}/dout`) });
    await session.release();
    for (const name of outputs.keys()) {
      const expected = floatsOf(stored(`${id}/${name}`));
      expect(distance(floatsOf(results[name]), expected), name).toBeLessThan(tolerance(c.note));
    }
  });
});
