/**
 * @file Reverse-mode differentiation of a traced graph: a rule per operation. The result is a graph of the same
 * operations, so it is lowered, run and differentiated like any other. Independent of engines.
 *
 * Training traces at fixed sizes, so unlike a network a rule may use sizes as numbers. A rule may also compute more than
 * is needed: only what a result depends on is lowered.
 */

import { ShapeError } from "../errors.js";
import { attentionGradient } from "./attention.js";
import { groupNormGradient } from "./group-norm.js";
import * as t from "./operations.js";
import { add, div, expand, matmul, mean, mul, neg, pad, reshape, slice, sub, sum } from "./operations.js";
import { topological } from "./order.js";
import { type Attributes, count, made, type Op, sameShape, show, type Tensor } from "./tensor.js";

/** The gradient in `y` -> the gradient in each of its inputs, or undefined. */
type Rule<O extends Op> = (
  g: Tensor,
  y: Tensor<O>,
  inputs: readonly [Tensor, ...Tensor[]],
) => readonly (Tensor | undefined)[];

/** The gradient of `loss`, which has one element, in each target; zeros where the loss does not depend on it. */
export function gradients(loss: Tensor, targets: readonly Tensor[]): Tensor[] {
  if (count(loss.shape) !== 1)
    throw new ShapeError("", `gradients: the loss must have one element, got ${show(loss.shape)}. Sum it.`);
  const one = t.constant(Float32Array.of(1), loss.shape);
  return vjp([loss], [one], targets).map((g, i) => g ?? expand(t.scalar(0), targets[i]!));
}

/**
 * The gradient of sum_i <upstream_i, outputs_i> in each target, which may lie anywhere in the graph; undefined
 * where no output depends on it.
 */
export function vjp(
  outputs: readonly Tensor[],
  upstream: readonly Tensor[],
  targets: readonly Tensor[],
): (Tensor | undefined)[] {
  const order = topological(outputs);
  const needed = new Set(targets.filter((x) => x.dtype === "float32"));
  for (const y of order) if (rules[y.op] && y.inputs.some((x) => needed.has(x))) needed.add(y);

  const received = new Map<Tensor, Tensor[]>();
  const send = (x: Tensor, g: Tensor) => {
    if (!sameShape(x.shape, g.shape))
      throw new ShapeError("", `${x.op}: its gradient must be ${show(x.shape)}, got ${show(g.shape)}`);
    if (!needed.has(x)) return;
    const others = received.get(x);
    if (others) others.push(g);
    else received.set(x, [g]);
  };
  for (const [i, y] of outputs.entries()) send(y, upstream[i]!);

  const complete = new Map<Tensor, Tensor>();
  for (const y of order.reverse()) {
    const parts = received.get(y);
    if (!parts) continue;
    const g = total(parts);
    complete.set(y, g);
    if (!y.inputs.some((x) => needed.has(x))) continue;
    for (const [i, part] of applied(y, g).entries()) if (part) send(y.inputs[i]!, part);
  }
  return targets.map((x) => complete.get(x));
}

const applied = <O extends Op>(y: Tensor<O>, g: Tensor) =>
  (rules[y.op] as Rule<O> | null)?.(g, y, y.inputs as [Tensor, ...Tensor[]]) ?? [];

const total = (parts: readonly Tensor[]) => joined(parts) ?? parts.reduce((a, b) => add(a, b));

/** The concatenation, if the parts are gradients of slices that cover one axis, as those of `chunk`; else undefined. */
function joined(parts: readonly Tensor[]): Tensor | undefined {
  const whole = parts[0]!.shape;
  const pads = parts.filter((p) => made("pad", p));
  if (pads.length < parts.length) return undefined;
  const axis = whole.findIndex((d, i) => d !== pads[0]!.inputs[0]!.shape[i]);
  pads.sort((a, b) => a.attrs.before[axis]! - b.attrs.before[axis]!);
  let end = 0;
  for (const { attrs, inputs } of pads) {
    const piece = inputs[0]!.shape;
    if (attrs.before[axis] !== end || piece.some((d, i) => i !== axis && d !== whole[i])) return undefined;
    end += piece[axis]!;
  }
  const pieces = pads.map((p) => p.inputs[0]!);
  return end === whole[axis] ? t.concat(pieces, axis) : undefined;
}

/** The rule of an elementwise operation of one input, by its derivative, a function of x and of its result y. */
const elementwise =
  (derivative: (x: Tensor, y: Tensor) => Tensor) =>
  (g: Tensor, y: Tensor, [x]: readonly [Tensor, ...Tensor[]]) => [mul(g, derivative(x, y))];

const oneMinus = (x: Tensor) => sub(t.scalar(1), x);

/**
 * One rule per operation; null where the gradient is zero or undefined: leaves, steps, results of type int64, and
 * quantised weights, which are not trained.
 */
const rules: { readonly [O in Op]: Rule<O> | null } = {
  input: null,
  param: null,
  constant: null,
  add: (g, _, [a, b]) => [shrink(g, a), shrink(g, b!)],
  sub: (g, _, [a, b]) => [shrink(g, a), shrink(neg(g), b!)],
  mul: (g, _, [a, b]) => [shrink(mul(g, b!), a), shrink(mul(g, a), b!)],
  div: (g, y, [a, b]) => {
    const da = div(g, b!);
    return [shrink(da, a), shrink(neg(mul(da, y)), b!)];
  },
  neg: (g) => [neg(g)],
  exp: elementwise((_, y) => y),
  log: (g, _, [x]) => [div(g, x)],
  sqrt: (g, y) => [div(mul(g, 0.5), y)],
  sin: elementwise((x) => t.cos(x)),
  cos: elementwise((x) => neg(t.sin(x))),
  tanh: elementwise((_, y) => oneMinus(mul(y, y))),
  erf: elementwise((x) => mul(t.exp(neg(mul(x, x))), 2 / Math.sqrt(Math.PI))),
  sigmoid: elementwise((_, y) => mul(y, oneMinus(y))),
  relu: elementwise((x) => t.step(x)),
  step: null,
  silu: elementwise((x, y) => sigmoidLinearDerivative(x, y, 1)),
  gelu: elementwise((x) => {
    const distribution = mul(add(t.erf(mul(x, Math.SQRT1_2)), 1), 0.5);
    const density = mul(t.exp(mul(mul(x, x), -0.5)), 1 / Math.sqrt(2 * Math.PI));
    return add(distribution, mul(x, density));
  }),
  quickGelu: elementwise((x, y) => sigmoidLinearDerivative(x, y, 1.702)),
  softmax: (g, y) => [mul(y, sub(g, sum(mul(g, y), [y.rank - 1])))],
  matmul: (g, y, [a, b]) => matmulGradient(g, a, b!, y.attrs),
  linear: (g, _, [x, w, b]) => [
    ...matmulGradient(g, x, w!, { transposeA: false, transposeB: true }),
    b && shrink(g, b),
  ],
  quantizedLinear: null,
  rowQuantizedLinear: null,
  rowQuantizedConv2d: null,
  winogradConv2d: null,
  conv2d: (g, y, [x, w, b]) => {
    const size = sizeOf(x);
    return [
      t.conv2dTranspose(g, w!, { ...y.attrs, size }),
      t.conv2dKernel(g, x, { ...y.attrs, kernel: sizeOf(w!) }),
      b && reshape(sum(g, [0, 2, 3]), b.shape),
    ];
  },
  conv2dTranspose: (g, y, [x, w]) => [
    t.conv2d(g, w!, undefined, y.attrs),
    t.conv2dKernel(x, g, { ...y.attrs, kernel: sizeOf(w!) }),
  ],
  conv2dKernel: (dw, y, [g, x]) => [
    t.conv2d(x!, dw, undefined, y.attrs),
    t.conv2dTranspose(g, dw, { ...y.attrs, size: sizeOf(x!) }),
  ],
  groupNorm: (g, y, [x, w]) => imageNormGradient(g, x, w!, y.attrs),
  layerNorm: (g, y, [x, w]) => {
    const last = [x.rank - 1];
    const { normed, rstd } = normalised(x, last, y.attrs.eps);
    const product = mul(g, normed);
    // mean(w v) is one product with w / D: the rows times w are never written down.
    const share = reshape(div(w!, x.shape.at(-1)!), [-1, 1]);
    const weighted = (v: Tensor) =>
      x.rank > 1 ? matmul(v, share) : reshape(matmul(reshape(v, [1, -1]), share), [1]);
    const dx = mul(rstd, sub(sub(mul(g, w!), weighted(g)), mul(normed, weighted(product))));
    return [dx, shrink(product, w!), shrink(g, w!)];
  },
  attention: (g, y, [q, k, v]) => attentionGradient(g, y, [q, k!, v!], y.attrs),
  reshape: (g, _, [x]) => [reshape(g, x.shape)],
  transpose: (g, y) => [
    t.transpose(
      g,
      y.attrs.perm.map((_, axis) => y.attrs.perm.indexOf(axis)),
    ),
  ],
  concat: (g, y, inputs) => {
    const { axis } = y.attrs;
    let end = 0;
    return inputs.map((x) => slice(g, axis, end, (end += x.shape[axis]!)));
  },
  slice: (g, y, [x]) => [sliceGradient(g, x, y.attrs)],
  part: (g, { attrs: { axis, index, of } }, [x]) => {
    const [start, end] = t.partBounds(x.shape[axis]!, index, of);
    return [sliceGradient(g, x, { axis, start, end, step: 1 })];
  },
  pad: (g, y, [x]) => [
    x.shape.reduce<Tensor>((inner, d, axis) => {
      const start = y.attrs.before[axis]!;
      return inner.shape[axis] === d ? inner : slice(inner, axis, start, start + d);
    }, g),
  ],
  upsample: (g, y) => [sumBlocks(g, y.attrs.by, y.attrs.by)],
  resize: (g, _, [x]) => [resizeGradient(g, x)],
  expand: (g, _, [x]) => [shrink(g, x)],
  sum: (g, _, [x]) => [expand(g, x)],
  mean: (g, y, [x]) => [expand(mul(g, count(y.shape) / count(x.shape)), x)],
  argmax: null,
  gather: (g, _, [table, ids]) => {
    const [rows] = table.shape as [number];
    const chosen = reshape(oneHot(ids!, rows), [-1, rows]);
    const flat = reshape(g, [count(ids!.shape), -1]);
    return [reshape(matmul(chosen, flat, { transposeA: true }), table.shape)];
  },
  pick: (g, _, [x, index]) => {
    const [B, N, D] = x.shape as [number, number, number];
    return [mul(reshape(oneHot(index!, N), [B, N, 1]), reshape(g, [B, 1, D]))];
  },
  cast: null,
};

/** The derivative of y = x s with s = sigmoid(alpha x): s + alpha y (1 - s) */
function sigmoidLinearDerivative(x: Tensor, y: Tensor, alpha: number): Tensor {
  const s = t.sigmoid(alpha === 1 ? x : mul(x, alpha));
  return add(s, mul(alpha === 1 ? y : mul(y, alpha), oneMinus(s)));
}

/** Undoes broadcasting: the sum over the axes along which x was repeated. */
function shrink(g: Tensor, { shape }: Tensor): Tensor {
  if (sameShape(g.shape, shape)) return g;
  const extra = g.rank - shape.length;
  const stretched = (d: number, axis: number) => axis < extra || d !== shape[axis - extra];
  const axes = [...g.shape.keys()].filter((axis) => stretched(g.shape[axis]!, axis));
  const small = sum(g, axes);
  return extra > 0 ? reshape(small, shape) : small;
}

type Flags = Attributes["matmul"];

/** For Y = A B: dA = G Bᵀ, dB = Aᵀ G, each written with flags rather than transposed. */
function matmulGradient(g: Tensor, a: Tensor, b: Tensor, { transposeA, transposeB }: Flags): Tensor[] {
  const da = transposeA
    ? matmul(b, g, { transposeA: transposeB, transposeB: true })
    : matmul(g, b, { transposeB: !transposeB });
  // A weight serves every token of a batch: one product over all of them, not one per image and a sum.
  const all = b.rank === 2 && a.rank > 2 && !transposeA;
  const rows = (x: Tensor) => (all ? reshape(x, [-1, x.shape.at(-1)!]) : x);
  const db = transposeB
    ? matmul(rows(g), rows(a), { transposeA: true, transposeB: transposeA })
    : matmul(rows(a), rows(g), { transposeA: !transposeA });
  return [shrink(da, a), shrink(db, b)];
}

/** Height and width of an image or a kernel. */
const sizeOf = (x: Tensor) => [x.shape[2]!, x.shape[3]!] as const;

/** x with mean 0 and variance 1 over `axes`, and the reciprocal of its deviation. */
function normalised(x: Tensor, axes: readonly number[], eps: number): { normed: Tensor; rstd: Tensor } {
  const centred = sub(x, mean(x, axes));
  const rstd = div(t.scalar(1), t.sqrt(add(mean(mul(centred, centred), axes), eps)));
  return { normed: mul(centred, rstd), rstd };
}

/** GroupNorm's gradient with channels last, the layout of a training program (`channels-last.ts`). */
function imageNormGradient(g: Tensor, x: Tensor, w: Tensor, attrs: Attributes["groupNorm"]): Tensor[] {
  const pixels = (v: Tensor) => t.transpose(reshape(v, [v.shape[0]!, v.shape[1]!, -1]), [0, 2, 1]);
  const [dx, dw, db] = groupNormGradient(pixels(g), pixels(x), w, attrs) as [Tensor, Tensor, Tensor];
  return [reshape(t.transpose(dx, [0, 2, 1]), x.shape), dw, db];
}

/** Puts g back where it was cut out of x, zeros between (for a step beyond 1) and around it. */
function sliceGradient(g: Tensor, x: Tensor, { axis, start, step }: Attributes["slice"]): Tensor {
  const room = x.shape[axis]! - start;
  const inside = step === 1 ? g : spread(g, axis, step, room);
  const padded = (at: number, d: number) => x.shape.map((_, i) => (i === at ? d : 0));
  return pad(inside, padded(axis, start), padded(axis, room - inside.shape[axis]!));
}

/** `step - 1` zeros after each element, at most `room` in all. */
function spread(g: Tensor, axis: number, step: number, room: number): Tensor {
  const split = g.shape.toSpliced(axis + 1, 0, 1);
  const after = split.map((_, i) => (i === axis + 1 ? step - 1 : 0));
  const zeros = split.map(() => 0);
  const wide = reshape(pad(reshape(g, split), zeros, after), g.shape.with(axis, g.shape[axis]! * step));
  return wide.shape[axis]! > room ? slice(wide, axis, 0, room) : wide;
}

/** [B, C, H * rows, W * columns] -> [B, C, H, W] */
function sumBlocks(g: Tensor, rows: number, columns: number): Tensor {
  const [B, C, H, W] = g.shape as [number, number, number, number];
  const blocks = reshape(g, [B, C, H / rows, rows, W / columns, columns]);
  return reshape(sum(blocks, [3, 5]), [B, C, H / rows, W / columns]);
}

function resizeGradient(g: Tensor, x: Tensor): Tensor {
  const [h, w] = x.shape.slice(2) as [number, number];
  const [H, W] = g.shape.slice(2) as [number, number];
  if (H % h === 0 && W % w === 0) return sumBlocks(g, H / h, W / w);
  return matmul(sources(h, H), matmul(g, sources(w, W)), { transposeA: true });
}

/** 1 where pixel i of `to` is taken from pixel j of `from`: [to, from] */
function sources(from: number, to: number): Tensor {
  const ones = new Float32Array(to * from);
  for (let i = 0; i < to; i++) ones[i * from + Math.floor((i * from) / to)] = 1;
  return t.constant(ones, [to, from]);
}

/** ids: [...] -> [..., n]. Float32 holds whole numbers up to 2^24 exactly, more than any vocabulary. */
function oneHot(ids: Tensor, n: number): Tensor {
  const all = t.constant(Float32Array.from({ length: n }, (_, i) => i));
  const distance = sub(reshape(t.cast(ids, "float32"), [...ids.shape, 1]), all);
  return oneMinus(t.step(mul(distance, distance)));
}
