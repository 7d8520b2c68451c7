/**
 * @file Lowers a traced graph to an ONNX model, by one rule per operation. Of two ways to write an operation it chooses
 * by what the device supports.
 */

import { topological } from "../tensor/order.js";
import {
  type Attributes,
  type AxisSize,
  made,
  type Op,
  type Padding,
  type Shape,
  type Tensor,
} from "../tensor/tensor.js";
import { cpu, type Device } from "./device.js";
import { cast, elementTypes } from "./element-types.js";
import { hostExpression } from "./host-values.js";
import { type ElementType, GraphWriter } from "./onnx.js";
import type { HostInput, Program, StoredWeight } from "./program.js";
import { quantizedConvolution } from "./quantized-convolution.js";
import { deviceGraph } from "./rewrite/device-graph.js";
import { type WeightSinks, weightValue } from "./weight-value.js";
import { winogradConvolution } from "./winograd-convolution.js";

export type { Program, StoredWeight } from "./program.js";

export type LowerOptions = {
  device?: Device;
  /**
   * Each weight's value; a weight that is not listed becomes an input of the program. Either all lie in files or all in
   * memory: ONNX Runtime opens no file if it is given one weight's bytes.
   */
  weights?: ReadonlyMap<string, StoredWeight>;
  folder?: string;
};

/** Writes the graph of `outputs` as a program whose results have those names, and counts its nodes. */
export function lower(
  name: string,
  outputs: Readonly<Record<string, Tensor>>,
  options: LowerOptions = {},
): Program & { nodes: number } {
  const { device = cpu, weights = new Map(), folder } = options;
  if (new Set([...weights.values()].map((w) => "data" in w)).size > 1)
    throw new Error("internal: weights must all be in files or all in memory");
  const g = new GraphWriter();
  const { files, memory, widened }: WeightSinks = { files: new Set(), memory: new Map(), widened: new Map() };
  const host: HostInput[] = [];
  const values = new Map<Tensor, string>();
  const graph = deviceGraph(outputs, device, (path) => isCode(weights.get(path)?.dtype));
  const tensors = topological(Object.values(graph));
  const isLarge = tensors.length >= largeGraph || tensors.some((t) => made("winogradConv2d", t));
  const declaresOpenSizes = device.provider !== "cpu" || !isLarge;
  const context: Context = {
    ...{ g, device, weights, files, memory, widened, host, declaresOpenSizes },
    shared: new Map(),
  };
  for (const t of tensors) {
    values.set(
      t,
      lowerOne(
        context,
        t,
        t.inputs.map((x) => values.get(x)!),
      ),
    );
  }
  const results = Object.entries(graph).map(([name, t]) => ({
    name,
    value: values.get(t)!,
    type: elementTypes[t.dtype],
    ...(declaresOpenSizes && { rank: t.rank }),
  }));
  const { model, nodes } = g.encode(name, results, {
    widensLate: device.weightsAsStored && device.provider === "cpu",
  });
  const unwidened = ["F32", "F16", "U8", "I8", ...device.widenedAsRead];
  const widensAtLoad = [...weights.values()].some(({ dtype }) => !unwidened.includes(dtype));
  return {
    name,
    model,
    nodes,
    ...(folder !== undefined && { folder }),
    ...(files.size > 0 && { files: [...files] }),
    ...(memory.size > 0 && { memory }),
    ...(widened.size > 0 && { widened }),
    ...(host.length > 0 && { host }),
    ...(device.weightsAsStored && { weightsAsStored: true }),
    ...(widensAtLoad && { widensAtLoad }),
  };
}

/**
 * From so many tensors on, inputs with open sizes, and results, are declared without sizes on the CPU. After a few
 * operations ONNX Runtime knows open sizes no more, so that no two results are alike to its memory planner, which yet
 * compares each with every dead one; results of unknown shape it does not compare. Results must not be declared then:
 * where it knows a rank in the middle of a network, ONNX Runtime 1.30 takes a Resize's sizes for none. A U-Net is
 * otherwise optimised as before, but for two slices that would become one split. An autoencoder, which is small, would
 * lose additions that are computed with the convolution before them (docs/log.md, 2026-11-30); but for one of wide layers,
 * each of which is many operations by Winograd's algorithm.
 */
const largeGraph = 600;

/** Whether weights of this type are quantised ones. */
const isCode = (dtype: ElementType | undefined): boolean => dtype === "U8" || dtype === "I8";

type Context = WeightSinks & {
  g: GraphWriter;
  device: Device;
  weights: ReadonlyMap<string, StoredWeight>;
  /** Receives the inputs that the host computes. */
  host: HostInput[];
  declaresOpenSizes: boolean;
  /** Values that several operations need, such as the parts of a shape, by what they are. */
  shared: Map<string, string>;
};
type Rule<O extends Op> = (c: Context, t: Tensor<O>, xs: string[], attrs: Attributes[O]) => string;

/** The type of an operation's own constants. */
const floatType = ({ dtype }: Tensor) => (dtype === "float16" ? "F16" : "F32");

const lowerOne = <O extends Op>(c: Context, t: Tensor<O>, xs: string[]): string =>
  (rules[t.op] as Rule<O>)(c, t, xs, t.attrs);

const same =
  (opType: string) =>
  ({ g }: Context, _: Tensor, xs: string[]) =>
    g.node(opType, xs);

const rules: { [O in Op]: Rule<O> } = {
  input: ({ g, host, weights, declaresOpenSizes }, t, _, { name, open, host: computed }) => {
    if (computed) host.push({ name, value: hostExpression(computed, weights) });
    const sizes = t.shape.map((d, i) => open[i] ?? d);
    const isOpen = sizes.some((size) => typeof size === "string");
    return g.input(name, elementTypes[t.dtype], isOpen && !declaresOpenSizes ? undefined : sizes);
  },
  param: (c, t, _, { path }) => {
    const { g, weights } = c;
    const stored = weights.get(path);
    if (!stored) {
      const given = g.input(path, "F32", t.shape);
      return t.dtype === "float32" ? given : cast(g, given, t.dtype);
    }
    return weightValue(c, path, stored, t);
  },
  constant: ({ g }, t, _, { data }) => g.constant(data, t.shape, floatType(t)),
  add: same("Add"),
  sub: same("Sub"),
  mul: same("Mul"),
  div: same("Div"),
  neg: same("Neg"),
  exp: same("Exp"),
  log: same("Log"),
  sqrt: same("Sqrt"),
  sin: same("Sin"),
  cos: same("Cos"),
  tanh: same("Tanh"),
  erf: same("Erf"),
  sigmoid: same("Sigmoid"),
  relu: same("Relu"),
  step: ({ g }, t, [x]) =>
    cast(g, g.node("Greater", [x!, g.constant(Float32Array.of(0), [], floatType(t))]), t.dtype),
  silu: (c, t, [x]) => sigmoidLinear(c, t, x!, 1),
  quickGelu: (c, t, [x]) => sigmoidLinear(c, t, x!, 1.702),
  gelu: ({ g }, _, xs) => g.node("Gelu", xs),
  softmax: ({ g }, _, xs) => g.node("Softmax", xs, { axis: -1 }),
  matmul: ({ g, device }, t, xs, { transposeA, transposeB }) => {
    if (!transposeA && !transposeB) return g.node("MatMul", xs);
    if (device.fusedMatmul)
      return g.contrib("FusedMatMul", xs, { transA: Number(transposeA), transB: Number(transposeB) });
    const flip = (x: string, rank: number, on: boolean) =>
      on ? g.node("Transpose", [x], { perm: swapLast(rank) }) : x;
    return g.node("MatMul", [
      flip(xs[0]!, t.inputs[0]!.rank, transposeA),
      flip(xs[1]!, t.inputs[1]!.rank, transposeB),
    ]);
  },
  linear: (c, t, [x, ...weights]) => {
    const { g } = c;
    const layer = (rows: string) => g.node("Gemm", [rows, ...weights], { transB: 1 });
    if (t.rank === 2) return layer(x!);
    const [N, K] = t.inputs[1]!.shape as [number, number];
    const rows = shared(c, `rows of ${x}`, () => g.node("Reshape", [x!, g.ints(-1, K)]));
    const shape = shared(c, `shape of ${x} with ${N}`, () =>
      g.node("Concat", [shapePart(g, x!, 0, t.rank - 1), g.ints(N)], { axis: 0 }),
    );
    return g.node("Reshape", [layer(rows), shape]);
  },
  quantizedLinear: ({ g }, t, [x, codes, scales, bias], { block }) => {
    const [N, K] = [t.shape.at(-1)!, t.inputs[0]!.shape.at(-1)!];
    const inputs = [x!, codes!, scales!, ...(bias === undefined ? [] : ["", "", bias])];
    // Level 4: rows of x are quantised as well, in the same blocks, so that integers are multiplied.
    return g.contrib("MatMulNBits", inputs, { K, N, bits: 8, block_size: block, accuracy_level: 4 });
  },
  // Each x is quantised whole, to eight bits with a zero point.
  rowQuantizedLinear: ({ g }, _, [x, codes, scales, bias]) =>
    g.contrib("DynamicQuantizeMatMul", [x!, codes!, scales!, ...(bias === undefined ? [] : ["", bias])]),
  conv2d: ({ g }, t, xs, { stride, padding }) =>
    g.node("Conv", xs, {
      kernel_shape: t.inputs[1]!.shape.slice(2),
      strides: [stride, stride],
      pads: padding,
    }),
  winogradConv2d: ({ g }, t, xs, attrs) => {
    const [O, C] = t.inputs[1]!.shape as [number, number];
    return winogradConvolution(g, xs, [O, C], attrs);
  },
  rowQuantizedConv2d: ({ g }, _, xs, attrs) => quantizedConvolution(g, xs, attrs),
  conv2dTranspose: ({ g }, t, xs, { stride, padding, size }) => {
    const kernel = t.inputs[1]!.shape.slice(2);
    const flips = stride === 1 && padding.every((d, i) => d < kernel[i % 2]!);
    if (flips && size[0] * size[1] >= largeImage) return flippedConv(g, xs, kernel, padding);
    const [top, left, bottom, right] = padding;
    const reach = (axis: number, pads: number) =>
      (t.inputs[0]!.shape[2 + axis]! - 1) * stride + kernel[axis]! - pads;
    const missing = [size[0] - reach(0, top + bottom), size[1] - reach(1, left + right)];
    return g.node("ConvTranspose", xs, {
      kernel_shape: kernel,
      strides: [stride, stride],
      pads: padding,
      output_padding: missing,
    });
  },
  conv2dKernel: ({ g }, t, [dy, x], { stride, padding, kernel }) => {
    // With the axes of batch and channels exchanged it is a convolution of x, with dy as the kernel.
    const exchanged = [x!, dy!].map((v) => g.node("Transpose", [v], { perm: [1, 0, 2, 3] }));
    const full = g.node("Conv", exchanged, {
      kernel_shape: t.inputs[0]!.shape.slice(2),
      dilations: [stride, stride],
      pads: padding,
    });
    // With a stride, pixels at the edge may belong to no window.
    const cut = g.node("Slice", [full, g.ints(0, 0), g.ints(...kernel), g.ints(2, 3)]);
    return g.node("Transpose", [cut], { perm: [1, 0, 2, 3] });
  },
  groupNorm: ({ g, device }, t, [given, w, b], { groups, eps: own }) => {
    // x / sqrt(var + eps) equals s x / sqrt(var(s x) + s² eps), so any epsilon becomes any other.
    const eps = device.normEpsilon ?? own;
    const scale = Float32Array.of(Math.sqrt(eps / own));
    const x = eps === own ? given : g.node("Mul", [given!, g.constant(scale, [], floatType(t))]);
    const grouped = g.node("Reshape", [x!, g.ints(0, groups, -1)]);
    const ones = g.constant(new Float32Array(groups).fill(1), [groups], floatType(t));
    const zeros = g.constant(new Float32Array(groups), [groups], floatType(t));
    const normed = g.node("InstanceNormalization", [grouped, ones, zeros], { epsilon: { float: eps } });
    const back = g.node("Reshape", [normed, g.node("Shape", [x!])]);
    const perChannel = (v: string) => g.node("Reshape", [v, g.ints(t.shape[1]!, 1, 1)]);
    return g.node("Add", [g.node("Mul", [back, perChannel(w!)]), perChannel(b!)]);
  },
  layerNorm: ({ g }, _, xs, { eps }) =>
    g.node("LayerNormalization", xs, { axis: -1, epsilon: { float: eps } }),
  attention: ({ g }, _, xs, { heads, scale }) =>
    g.contrib("MultiHeadAttention", xs, { num_heads: heads, scale: { float: scale } }),
  reshape: ({ g }, t, xs, { sizes }) =>
    g.node("Reshape", [
      xs[0]!,
      shapeOf(
        g,
        xs,
        t.inputs.map((x) => x.rank),
        sizes,
      ),
    ]),
  transpose: ({ g }, _, xs, { perm }) => g.node("Transpose", xs, { perm }),
  concat: ({ g }, _, xs, { axis }) => g.node("Concat", xs, { axis }),
  slice: ({ g }, _, [x], { axis, start, end, step }) =>
    g.node("Slice", [x!, g.ints(start), g.ints(end), g.ints(axis), g.ints(step)]),
  part: (c, _, [x], { axis, index, of }) => {
    const { g } = c;
    const size = shared(c, `size of ${x} along ${axis}`, () => shapePart(g, x!, axis, axis + 1));
    const bound = (i: number) => {
      if (i === 0) return g.ints(0);
      if (i === of) return size;
      return shared(c, `${i} / ${of} of ${size}`, () =>
        g.node("Div", [g.node("Mul", [size, g.ints(i)]), g.ints(of)]),
      );
    };
    return g.node("Slice", [x!, bound(index), bound(index + 1), g.ints(axis), g.ints(1)]);
  },
  pad: ({ g }, _, [x], { before, after }) => g.node("Pad", [x!, g.ints(...before, ...after)]),
  upsample: ({ g }, _, [x], { by }) =>
    g.node("Resize", [x!, "", g.constant(Float32Array.of(1, 1, by, by))], nearest),
  resize: ({ g }, _, [x, like]) => {
    const parts = g.node("Concat", [shapePart(g, x!, 0, 2), shapePart(g, like!, 2, 4)], { axis: 0 });
    // Where it knows the rank of x alone, ONNX Runtime 1.30 infers that parts of a shape are none.
    const sizes = g.node("Reshape", [parts, g.ints(4)]);
    return g.node("Resize", [x!, "", "", sizes], nearest);
  },
  expand: ({ g }, _, [x, like]) => g.node("Expand", [x!, g.node("Shape", [like!])]),
  sum: ({ g }, _, [x], { axes }) => g.node("ReduceSum", [x!, g.ints(...axes)], { keepdims: 1 }),
  mean: ({ g }, _, [x], { axes }) => g.node("ReduceMean", [x!, g.ints(...axes)], { keepdims: 1 }),
  argmax: ({ g }, _, xs, { axis }) => g.node("ArgMax", xs, { axis, keepdims: 0 }),
  gather: ({ g }, _, xs) => g.node("Gather", xs, { axis: 0 }),
  pick: ({ g }, _, [x, index]) =>
    g.node("GatherND", [x!, g.node("Unsqueeze", [index!, g.ints(1)])], { batch_dims: 1 }),
  cast: ({ g }, _, [x], { to }) => cast(g, x!, to),
};

/** PyTorch's "nearest": floor(i * in / out). */
const nearest = { mode: "nearest", coordinate_transformation_mode: "asymmetric", nearest_mode: "floor" };

function shared({ shared }: Context, what: string, make: () => string): string {
  const value = shared.get(what) ?? make();
  shared.set(what, value);
  return value;
}

const swapLast = (rank: number) => [...Array(rank - 2).keys(), rank - 1, rank - 2];

/** x sigmoid(alpha x) */
function sigmoidLinear({ g, device }: Context, t: Tensor, x: string, alpha: number): string {
  if (device.fusedSilu) return g.contrib("QuickGelu", [x], { alpha: { float: alpha } });
  const scaled = alpha === 1 ? x : g.node("Mul", [x, g.constant(Float32Array.of(alpha), [], floatType(t))]);
  return g.node("Mul", [x, g.node("Sigmoid", [scaled])]);
}

/** From here on Conv is faster than ConvTranspose although its kernel must be rearranged; at 16x16 it is slower. */
const largeImage = 32 * 32;

/** The adjoint of a convolution with stride 1: a convolution with the kernel flipped and its channels exchanged. */
function flippedConv(g: GraphWriter, [x, w]: string[], kernel: Shape, padding: Padding): string {
  const flipped = g.node("Slice", [w!, g.ints(-1, -1), g.ints(-1e6, -1e6), g.ints(2, 3), g.ints(-1, -1)]);
  return g.node("Conv", [x!, g.node("Transpose", [flipped], { perm: [1, 0, 2, 3] })], {
    kernel_shape: kernel,
    pads: padding.map((d, i) => kernel[i % 2]! - 1 - d),
  });
}

const shapePart = (g: GraphWriter, x: string, start: number, end: number) =>
  g.node("Shape", [x], { start, end });

/** The shape operand of a Reshape: constant where it can be, else read from the tensors it refers to. */
function shapeOf(
  g: GraphWriter,
  xs: readonly string[],
  ranks: readonly number[],
  sizes: readonly AxisSize[],
): string {
  const kept = (s: AxisSize, axis: number) =>
    typeof s !== "number" && s.of === 0 && s.axis === axis && axis < ranks[0]!;
  const plain = sizes.map((s, axis) => (typeof s === "number" ? s : kept(s, axis) ? 0 : undefined));
  if (plain.every((s) => s !== undefined)) return g.ints(...plain);
  const parts = sizes.map((s, axis) => {
    const size = plain[axis];
    if (size !== undefined) return g.ints(size);
    const { of, axis: source } = s as Exclude<AxisSize, number>;
    return shapePart(g, xs[of]!, source, source + 1);
  });
  return g.node("Concat", parts, { axis: 0 });
}
