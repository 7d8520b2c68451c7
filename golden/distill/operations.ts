/**
 * @file The operations of `distil/ops.*` by their names there. What is no operation of ours is written as a composition
 * of those that are.
 */

import { vjp } from "../../src/tensor/gradient.js";
import * as t from "../../src/tensor/operations.js";
import {
  add,
  constant,
  div,
  matmul,
  mul,
  relu,
  reshape,
  sub,
  transpose,
} from "../../src/tensor/operations.js";
import { count, type Tensor } from "../../src/tensor/tensor.js";

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

/** A case as the table has it, without its floors. */
export type Case = {
  id: string;
  op: string;
  attributes: Attributes;
  note?: string;
  inputs: Record<string, number[]>;
  output: number[];
  gradients: string[];
};

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

/** Builds the output of a case from its inputs, which have the names of the table. */
export const operations: Readonly<Record<string, Operation>> = {
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
  pow: ({ x }, { exponent }) => power(x!, exponent),
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
    t.slice(x!, axis, fromStart(start, x!.shape[axis]!), fromStart(end, x!.shape[axis]!), step),
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

/** Whole exponents by multiplication, so that negative bases pass; others by a root, or for positive bases alone. */
function power(x: Tensor, exponent: number): Tensor {
  if (exponent < 0) return div(t.scalar(1), power(x, -exponent));
  const whole = Math.floor(exponent);
  const rest = exponent - whole;
  const factors = Array.from({ length: whole }, () => x);
  if (rest === 0.5) factors.push(t.sqrt(x));
  else if (rest !== 0) factors.push(t.exp(mul(t.log(x), rest)));
  return factors.length > 0
    ? factors.reduceRight((product, factor) => mul(factor, product))
    : add(mul(x, 0), 1);
}

const fromStart = (index: number, length: number) => (index < 0 ? index + length : index);

const zeros = (shape: number[]) => constant(new Float32Array(count(shape)), shape);

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

/** A case's results by their names in the table: `ID/out`, and `ID/d_INPUT` for the upstream gradient `ID/dout`. */
export function traceCase(c: Case, isFloat: (input: string) => boolean): Record<string, Tensor> {
  const operation = operations[c.op];
  if (!operation) throw new Error(`${c.id}: the conformance tool has no operation "${c.op}"`);
  const names = Object.keys(c.inputs);
  const input = (name: string) =>
    t.input(`${c.id}/${name}`, c.inputs[name]!, isFloat(name) ? "float32" : "int64");
  const inputs = Object.fromEntries(names.map((name) => [name, input(name)]));
  const out = operation(inputs, c.attributes);
  const targets = c.gradients.map((name) => inputs[name]!);
  const found = vjp([out], [t.input(`${c.id}/dout`, c.output)], targets);
  const gradients = c.gradients.map((name, i) => [`${c.id}/d_${name}`, found[i]!] as const);
  return { [`${c.id}/out`]: out, ...Object.fromEntries(gradients) };
}
