/**
 * @file A tensor of a traced graph: the operation that computes it, its inputs, its shape. It holds no numbers.
 * Independent of engines. `operations.ts` makes tensors.
 */

export type Shape = readonly number[];
/**
 * float16, uint8 and int8 are the engine's alone (`rewrite/half-precision.ts`, `rewrite/quantized-layers.ts`): networks
 * are traced in float32.
 */
export type DType = "float32" | "float16" | "uint8" | "int8" | "int64";

/** A size in a reshape: a number, -1 (inferred, once), or the size of input `of` along `axis`. */
export type AxisSize = number | { readonly of: number; readonly axis: number };
type None = Record<never, never>;
/** Zeros around an image: top, left, bottom, right. */
export type Padding = readonly [number, number, number, number];
export type Extent = readonly [height: number, width: number];

/** Every operation with its attributes. The tables of `gradient.ts` and `engine/lower.ts` are exhaustive. */
export interface Attributes {
  /**
   * `open` names the dimensions whose size may differ from one run to the next. `host` is what the value is computed
   * by, outside the program, where a device leaves that to the host.
   */
  input: { readonly name: string; readonly open: readonly (string | undefined)[]; readonly host?: Tensor };
  param: { readonly path: string };
  constant: { readonly data: Float32Array | BigInt64Array };
  add: None;
  sub: None;
  mul: None;
  div: None;
  neg: None;
  exp: None;
  log: None;
  sqrt: None;
  sin: None;
  cos: None;
  tanh: None;
  erf: None;
  sigmoid: None;
  relu: None;
  step: None;
  silu: None;
  gelu: None;
  quickGelu: None;
  softmax: None;
  matmul: { readonly transposeA: boolean; readonly transposeB: boolean };
  linear: None;
  /** A product with a matrix whose numbers are eight bits each, with a factor for every `block` of a row. */
  quantizedLinear: { readonly block: number };
  /** The same with one factor for each row of the matrix, which lies transposed. */
  rowQuantizedLinear: None;
  conv2d: { readonly stride: number; readonly padding: Padding };
  /** The same with a kernel of eight bits a number, a factor for each of its results; `kernel` is its height and width. */
  rowQuantizedConv2d: { readonly stride: number; readonly padding: Padding; readonly kernel: Extent };
  /**
   * `conv2d` with a 3x3 kernel at stride 1, by Winograd's F(m x m, 3x3) in tiles of m = `tile`; the image is computed in
   * so many bands, one after another.
   */
  winogradConv2d: { readonly tile: 2 | 4; readonly bands: number; readonly padding: Padding };
  /** The adjoint of `conv2d` in x; `size` is the height and width of the result. */
  conv2dTranspose: { readonly stride: number; readonly padding: Padding; readonly size: Extent };
  /** The adjoint of `conv2d` in w; `kernel` is the height and width of the result. */
  conv2dKernel: { readonly stride: number; readonly padding: Padding; readonly kernel: Extent };
  groupNorm: { readonly groups: number; readonly eps: number };
  layerNorm: { readonly eps: number };
  attention: { readonly heads: number; readonly scale: number; readonly causal: boolean };
  reshape: { readonly sizes: readonly AxisSize[] };
  transpose: { readonly perm: readonly number[] };
  concat: { readonly axis: number };
  slice: { readonly axis: number; readonly start: number; readonly end: number; readonly step: number };
  /** The `index`th of `of` almost equal parts along an axis, whose size may be open. */
  part: { readonly axis: number; readonly index: number; readonly of: number };
  pad: { readonly before: readonly number[]; readonly after: readonly number[] };
  upsample: { readonly by: number };
  resize: None;
  expand: None;
  sum: { readonly axes: readonly number[] };
  mean: { readonly axes: readonly number[] };
  argmax: { readonly axis: number };
  gather: None;
  pick: None;
  cast: { readonly to: DType };
}
export type Op = keyof Attributes;

/** The result of one operation of a traced graph. */
export class Tensor<O extends Op = Op> {
  readonly op: O;
  readonly inputs: readonly Tensor[];
  readonly shape: Shape;
  readonly attrs: Attributes[O];
  readonly dtype: DType;

  constructor(
    op: O,
    inputs: readonly Tensor[],
    shape: Shape,
    attrs: Attributes[O],
    dtype: DType = "float32",
  ) {
    this.op = op;
    this.inputs = inputs;
    this.shape = shape;
    this.attrs = attrs;
    this.dtype = dtype;
  }

  get rank(): number {
    return this.shape.length;
  }
}

/** Whether `op` computes `x`; narrows its attributes. */
export const made = <O extends Op>(op: O, x: Tensor): x is Tensor<O> => x.op === op;

export const show = (shape: Shape): string => `[${shape.join(", ")}]`;
export const count = (shape: Shape): number => shape.reduce((a, b) => a * b, 1);
export const sameShape = (a: Shape, b: Shape): boolean =>
  a.length === b.length && a.every((d, i) => d === b[i]);

/** The same operation on other inputs, which have the shapes of its own; `x` itself if they are its own. */
export const withInputs = <O extends Op>(x: Tensor<O>, inputs: readonly Tensor[]): Tensor<O> =>
  inputs.every((y, i) => y === x.inputs[i]) ? x : new Tensor(x.op, inputs, x.shape, x.attrs, x.dtype);
