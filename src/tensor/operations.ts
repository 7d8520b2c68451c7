/**
 * @file The operations that graphs are traced with, each a function with its shape rule. `gradient.ts` holds their
 * gradients, `engine/lower.ts` their lowering to ONNX.
 *
 * Shapes are those of one tracing. Whatever depends on an open size (batch, latent height and width) must be said
 * by reference to another tensor (`dim(like, 2)`, `keep`, `-1`), so that tracing at any size lowers to the same graph.
 */

import { ShapeError } from "../errors.js";
import {
  type Attributes,
  type AxisSize,
  count,
  type DType,
  type Extent,
  type Op,
  type Padding,
  type Shape,
  sameShape,
  show,
  Tensor,
} from "./tensor.js";

export function refuse(op: Op, problem: string): never {
  throw new ShapeError("", `${op}: ${problem}`);
}

// Leaves

/** A value given at run time. A dimension given as `{ name: size }` is traced at that size and left open. */
export function input(
  name: string,
  sizes: readonly (number | Readonly<Record<string, number>>)[],
  dtype: DType = "float32",
): Tensor {
  const open = sizes.map((d) => (typeof d === "number" ? undefined : Object.keys(d)[0]));
  const shape = sizes.map((d) => (typeof d === "number" ? d : Object.values(d)[0]!));
  return new Tensor("input", [], shape, { name, open }, dtype);
}

/** A weight, by its path in the checkpoint. */
export const param = (path: string, shape: Shape): Tensor => new Tensor("param", [], shape, { path });

export function constant(data: Float32Array | BigInt64Array, shape: Shape = [data.length]): Tensor {
  if (count(shape) !== data.length) refuse("constant", `${data.length} values do not fill ${show(shape)}`);
  return new Tensor("constant", [], shape, { data }, data instanceof BigInt64Array ? "int64" : "float32");
}

export const scalar = (value: number): Tensor => constant(Float32Array.of(value), []);

// Elementwise

/** NumPy's rule: sizes are equal or one of them is 1, compared from the last axis. */
function broadcast(op: Op, a: Shape, b: Shape): Shape {
  const n = Math.max(a.length, b.length);
  return Array.from({ length: n }, (_, i) => {
    const x = a[i - n + a.length] ?? 1;
    const y = b[i - n + b.length] ?? 1;
    if (x !== y && x !== 1 && y !== 1) refuse(op, `${show(a)} and ${show(b)} do not broadcast`);
    return x === 1 ? y : x;
  });
}

type Binary = "add" | "sub" | "mul" | "div";
const binary =
  (op: Binary) =>
  (a: Tensor, b: Tensor | number): Tensor => {
    const y = typeof b === "number" ? scalar(b) : b;
    return new Tensor(op, [a, y], broadcast(op, a.shape, y.shape), {});
  };
export const add = binary("add");
export const sub = binary("sub");
export const mul = binary("mul");
export const div = binary("div");

type Unary = "neg" | "exp" | "log" | "sqrt" | "sin" | "cos" | "tanh" | "erf" | "sigmoid" | "relu" | "step";
type Activation = "silu" | "gelu" | "quickGelu" | "softmax";
const unary =
  (op: Unary | Activation) =>
  (x: Tensor): Tensor =>
    new Tensor(op, [x], x.shape, {});
export const neg = unary("neg");
export const exp = unary("exp");
export const log = unary("log");
export const sqrt = unary("sqrt");
export const sin = unary("sin");
export const cos = unary("cos");
export const tanh = unary("tanh");
export const erf = unary("erf");
export const sigmoid = unary("sigmoid");
export const relu = unary("relu");
/** 1 where x > 0, else 0. */
export const step = unary("step");
/** x sigmoid(x) */
export const silu = unary("silu");
/** x Phi(x), with the exact normal distribution function. */
export const gelu = unary("gelu");
/** x sigmoid(1.702 x) */
export const quickGelu = unary("quickGelu");
/** Over the last axis. */
export const softmax = unary("softmax");

// Products

/** a: [..., M, K], b: [..., K, N] -> [..., M, N]; either may be given transposed in its last two axes. */
export function matmul(a: Tensor, b: Tensor, { transposeA = false, transposeB = false } = {}): Tensor {
  const [m, k] = transposeA ? [a.shape.at(-1), a.shape.at(-2)] : a.shape.slice(-2);
  const [k2, n] = transposeB ? [b.shape.at(-1), b.shape.at(-2)] : b.shape.slice(-2);
  if (a.rank < 2 || b.rank < 2 || k !== k2) {
    refuse("matmul", `${show(a.shape)} x ${show(b.shape)}: inner sizes ${k} and ${k2} differ`);
  }
  const batch = broadcast("matmul", a.shape.slice(0, -2), b.shape.slice(0, -2));
  return new Tensor("matmul", [a, b], [...batch, m!, n!], { transposeA, transposeB });
}

/** x: [..., K], w: [N, K], b: [N] -> [..., N]: x wᵀ + b */
export function linear(x: Tensor, w: Tensor, b?: Tensor): Tensor {
  const [N, K] = w.shape as [number, number];
  if (w.rank !== 2 || x.shape.at(-1) !== K || (b && !sameShape(b.shape, [N])))
    refuse("linear", `input ${show(x.shape)} does not fit weight ${show(w.shape)}`);
  return new Tensor("linear", b ? [x, w, b] : [x, w], [...x.shape.slice(0, -1), N], {});
}

const around = (padding: number | Padding): Padding =>
  typeof padding === "number" ? [padding, padding, padding, padding] : padding;

/** x: [B, C, H, W], w: [O, C, kh, kw], b: [O] -> [B, O, H', W'] */
export function conv2d(
  x: Tensor,
  w: Tensor,
  b?: Tensor,
  { stride = 1, padding = 0 }: { stride?: number; padding?: number | Padding } = {},
): Tensor {
  const [B, C, H, W] = x.shape as [number, number, number, number];
  const [O, I, kh, kw] = w.shape as [number, number, number, number];
  if (x.rank !== 4 || C !== I) {
    refuse("conv2d", `input ${show(x.shape)} has ${C} channels, weight ${show(w.shape)} takes ${I}`);
  }
  const attrs = { stride, padding: around(padding) };
  const [height, width] = convolvedSize([H, W], { kernel: [kh, kw], ...attrs });
  if (height < 1 || width < 1)
    refuse("conv2d", `input ${show(x.shape)} is smaller than its ${kh}x${kw} kernel`);
  const inputs = b ? [x, w, b] : [x, w];
  return new Tensor("conv2d", inputs, [B, O, height, width], attrs);
}

/** The height and width of a convolution's result. */
export const convolvedSize = (
  size: Extent,
  { kernel, stride, padding }: { kernel: Extent; stride: number; padding: Padding },
): Extent => {
  const along = (i: 0 | 1) => Math.floor((size[i] + padding[i] + padding[i + 2]! - kernel[i]) / stride) + 1;
  return [along(0), along(1)];
};

/** The gradient of `conv2d` in its x of height and width `size`. g: [B, O, H', W'], w: [O, C, kh, kw] -> [B, C, H, W] */
export function conv2dTranspose(
  g: Tensor,
  w: Tensor,
  { stride, padding, size }: Attributes["conv2dTranspose"],
): Tensor {
  if (g.shape[1] !== w.shape[0]) {
    refuse("conv2dTranspose", `input ${show(g.shape)} does not fit weight ${show(w.shape)}`);
  }
  const shape = [g.shape[0]!, w.shape[1]!, ...size];
  return new Tensor("conv2dTranspose", [g, w], shape, { stride, padding, size });
}

/** The gradient of `conv2d` in its w of height and width `kernel`. g: [B, O, H', W'], x: [B, C, H, W] -> [O, C, kh, kw] */
export function conv2dKernel(g: Tensor, x: Tensor, attrs: Attributes["conv2dKernel"]): Tensor {
  if (g.shape[0] !== x.shape[0])
    refuse("conv2dKernel", `batches of ${show(g.shape)} and ${show(x.shape)} differ`);
  return new Tensor("conv2dKernel", [g, x], [g.shape[1]!, x.shape[1]!, ...attrs.kernel], attrs);
}

/** x: [B, C, H, W], normalised over each of `groups` groups of channels, then scaled and shifted by w, b: [C]. */
export function groupNorm(x: Tensor, w: Tensor, b: Tensor, groups: number, eps: number): Tensor {
  const C = x.shape[1]!;
  if (x.rank !== 4 || C % groups !== 0)
    refuse("groupNorm", `${show(x.shape)} does not divide into ${groups} groups`);
  if (w.shape[0] !== C || b.shape[0] !== C)
    refuse("groupNorm", `weight ${show(w.shape)} does not fit ${show(x.shape)}`);
  return new Tensor("groupNorm", [x, w, b], x.shape, { groups, eps });
}

/** x: [..., D], normalised over D, then scaled and shifted by w, b: [D]. */
export function layerNorm(x: Tensor, w: Tensor, b: Tensor, eps: number): Tensor {
  if (w.shape[0] !== x.shape.at(-1))
    refuse("layerNorm", `weight ${show(w.shape)} does not fit ${show(x.shape)}`);
  return new Tensor("layerNorm", [x, w, b], x.shape, { eps });
}

/** Scaled dot-product attention of q: [B, N, D] over k, v: [B, M, D] in `heads` heads -> [B, N, D] */
export function attention(q: Tensor, k: Tensor, v: Tensor, heads: number, { causal = false } = {}): Tensor {
  const D = q.shape[2]!;
  if (q.rank !== 3 || D % heads !== 0)
    refuse("attention", `${show(q.shape)} does not divide into ${heads} heads`);
  const fits = k.rank === 3 && k.shape[0] === q.shape[0] && k.shape[2] === D && sameShape(k.shape, v.shape);
  if (!fits)
    refuse(
      "attention",
      `queries ${show(q.shape)}, keys ${show(k.shape)}, values ${show(v.shape)} do not fit`,
    );
  return new Tensor("attention", [q, k, v], q.shape, { heads, scale: (D / heads) ** -0.5, causal });
}

// Shape

/** In `reshape`: the size that x has along the same axis. */
export const keep = "keep" as const;
/** In `reshape`: the size of `like` along `axis` at run time. */
export const dim = (like: Tensor, axis: number): { like: Tensor; axis: number } => ({ like, axis });

/** The same elements in another shape. */
export function reshape(x: Tensor, to: readonly (number | typeof keep | ReturnType<typeof dim>)[]): Tensor {
  const inputs = [x];
  const sizes: AxisSize[] = to.map((size, axis) => {
    if (typeof size === "number") return size;
    if (size === keep) return { of: 0, axis };
    if (!inputs.includes(size.like)) inputs.push(size.like);
    return { of: inputs.indexOf(size.like), axis: size.axis };
  });
  const shape = sizes.map((s) => (typeof s === "number" ? s : inputs[s.of]!.shape[s.axis]!));
  const known = count(shape.filter((d) => d !== -1));
  const full = shape.map((d) => (d === -1 ? count(x.shape) / known : d));
  if (count(full) !== count(x.shape) || full.some((d) => !Number.isInteger(d))) {
    refuse("reshape", `${show(x.shape)} has ${count(x.shape)} elements, ${show(shape)} does not`);
  }
  return new Tensor("reshape", inputs, full, { sizes }, x.dtype);
}

export function transpose(x: Tensor, perm: readonly number[]): Tensor {
  if (perm.length !== x.rank)
    refuse("transpose", `${show(perm)} does not permute the ${x.rank} axes of ${show(x.shape)}`);
  return new Tensor(
    "transpose",
    [x],
    perm.map((i) => x.shape[i]!),
    { perm },
    x.dtype,
  );
}

export function concat(xs: readonly Tensor[], axis: number): Tensor {
  const shape = [...xs[0]!.shape];
  for (const x of xs.slice(1)) {
    if (x.rank !== shape.length || x.shape.some((d, i) => i !== axis && d !== shape[i])) {
      refuse("concat", `${show(x.shape)} does not fit ${show(shape)} along axis ${axis}`);
    }
    shape[axis]! += x.shape[axis]!;
  }
  return new Tensor("concat", xs, shape, { axis }, xs[0]!.dtype);
}

/** Elements `start` to `end` (not included) along one axis. */
export function slice(x: Tensor, axis: number, start: number, end: number, step = 1): Tensor {
  const size = x.shape[axis]!;
  if (!(start >= 0 && start < end && end <= size))
    refuse("slice", `${start} to ${end} is outside ${show(x.shape)}, axis ${axis}`);
  const shape = x.shape.map((d, i) => (i === axis ? Math.ceil((end - start) / step) : d));
  return new Tensor("slice", [x], shape, { axis, start, end, step }, x.dtype);
}

/** Cuts x into `n` equal parts along one axis. */
export function chunk(x: Tensor, n: number, axis: number): Tensor[] {
  const part = x.shape[axis]! / n;
  return Array.from({ length: n }, (_, i) => slice(x, axis, i * part, (i + 1) * part));
}

/** The bounds of the `index`th of `of` parts of `size`, which differ by one in length where `of` does not divide it. */
export const partBounds = (size: number, index: number, of: number): [start: number, end: number] => [
  Math.floor((index * size) / of),
  Math.floor(((index + 1) * size) / of),
];

/** The `index`th of `of` parts of x along one axis, of any size that is not smaller than `of`. */
export function part(x: Tensor, axis: number, index: number, of: number): Tensor {
  const size = x.shape[axis]!;
  if (!(index >= 0 && index < of && of <= size))
    refuse("part", `${index} of ${of} is outside ${show(x.shape)}, axis ${axis}`);
  const [start, end] = partBounds(size, index, of);
  const shape = x.shape.map((d, i) => (i === axis ? end - start : d));
  return new Tensor("part", [x], shape, { axis, index, of }, x.dtype);
}

/** Zeros before and after each axis. */
export function pad(x: Tensor, before: readonly number[], after: readonly number[]): Tensor {
  return new Tensor(
    "pad",
    [x],
    x.shape.map((d, i) => d + before[i]! + after[i]!),
    { before, after },
  );
}

/** x: [B, C, H, W], each pixel repeated `by` times in both directions. */
export function upsample(x: Tensor, by: number): Tensor {
  const [B, C, H, W] = x.shape as [number, number, number, number];
  return new Tensor("upsample", [x], [B, C, H * by, W * by], { by });
}

/** x: [B, C, h, w] at the height and width of `like`: nearest, floor(i * in / out), as PyTorch's `interpolate`. */
export function resize(x: Tensor, like: Tensor): Tensor {
  return new Tensor("resize", [x, like], [x.shape[0]!, x.shape[1]!, like.shape[2]!, like.shape[3]!], {});
}

/** x broadcast to the shape of `like`. */
export function expand(x: Tensor, like: Tensor): Tensor {
  const shape = broadcast("expand", x.shape, like.shape);
  if (!sameShape(shape, like.shape))
    refuse("expand", `${show(x.shape)} does not broadcast to ${show(like.shape)}`);
  return new Tensor("expand", [x, like], like.shape, {}, x.dtype);
}

// Reductions: the reduced axes are kept with size 1

const reduced = (x: Tensor, axes: readonly number[]) => x.shape.map((d, i) => (axes.includes(i) ? 1 : d));
const every = (x: Tensor) => x.shape.map((_, i) => i);
export const sum = (x: Tensor, axes: readonly number[] = every(x)): Tensor =>
  new Tensor("sum", [x], reduced(x, axes), { axes });
export const mean = (x: Tensor, axes: readonly number[] = every(x)): Tensor =>
  new Tensor("mean", [x], reduced(x, axes), { axes });

/** The first index of the largest value along `axis`, which is removed. */
export const argmax = (x: Tensor, axis: number): Tensor =>
  new Tensor(
    "argmax",
    [x],
    x.shape.filter((_, i) => i !== axis),
    { axis },
    "int64",
  );

// Lookup

/** Rows of table: [V, D] by ids: [...] -> [..., D] */
export function gather(table: Tensor, ids: Tensor): Tensor {
  if (ids.dtype !== "int64") refuse("gather", `ids are ${ids.dtype}, not int64`);
  return new Tensor("gather", [table, ids], [...ids.shape, ...table.shape.slice(1)], {});
}

/** One row of each: x: [B, N, D], index: [B] -> [B, D] */
export function pick(x: Tensor, index: Tensor): Tensor {
  if (x.rank !== 3 || index.rank !== 1)
    refuse("pick", `${show(index.shape)} does not index ${show(x.shape)}`);
  return new Tensor("pick", [x, index], [x.shape[0]!, x.shape[2]!], {});
}

export const cast = (x: Tensor, to: DType): Tensor =>
  x.dtype === to ? x : new Tensor("cast", [x], x.shape, { to }, to);
