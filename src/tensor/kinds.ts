/**
 * @file What kind of operation each is: what graph rewrites, estimates of memory and counts of multiplications must
 * know of an operation besides its shape. A new operation does not compile until it has a kind.
 */

import type { Op, Tensor } from "./tensor.js";

export type Kind = {
  /**
   * How the result is computed:
   * - `given`: not at all, it has no inputs;
   * - `elementwise`: each element from the inputs' elements at the same index, after broadcasting;
   * - `products`: by matrix products, so it has multiply-accumulates;
   * - `statistics`: from means, sums, maxima or exponentials over some axes;
   * - `view`: the same elements in the same order;
   * - `copy`: elements of the inputs at other indices, or zeros;
   * - `conversion`: the same elements in another type.
   */
  readonly computes: "given" | "elementwise" | "products" | "statistics" | "view" | "copy" | "conversion";
  /** Maps images [B, C, H, W] to an image, and is defined for nothing else. */
  readonly image?: true;
  /** Reads the elements of its first input alone; of the others only the shape. */
  readonly readsFirst?: true;
};

const given = { computes: "given" } as const;
const elementwise = { computes: "elementwise" } as const;
const products = { computes: "products" } as const;
const statistics = { computes: "statistics" } as const;
const copy = { computes: "copy" } as const;

const kinds = {
  input: given,
  param: given,
  constant: given,
  add: elementwise,
  sub: elementwise,
  mul: elementwise,
  div: elementwise,
  neg: elementwise,
  exp: elementwise,
  log: elementwise,
  sqrt: elementwise,
  sin: elementwise,
  cos: elementwise,
  tanh: elementwise,
  erf: elementwise,
  sigmoid: elementwise,
  relu: elementwise,
  step: elementwise,
  silu: elementwise,
  gelu: elementwise,
  quickGelu: elementwise,
  softmax: statistics,
  matmul: products,
  linear: products,
  quantizedLinear: products,
  rowQuantizedLinear: products,
  conv2d: { computes: "products", image: true },
  rowQuantizedConv2d: products,
  winogradConv2d: products,
  conv2dTranspose: { computes: "products", image: true },
  conv2dKernel: products,
  groupNorm: { computes: "statistics", image: true },
  layerNorm: statistics,
  attention: products,
  reshape: { computes: "view", readsFirst: true },
  transpose: copy,
  concat: copy,
  slice: copy,
  part: copy,
  pad: copy,
  upsample: { computes: "copy", image: true },
  resize: { computes: "copy", image: true, readsFirst: true },
  expand: { computes: "copy", readsFirst: true },
  sum: statistics,
  mean: statistics,
  argmax: statistics,
  gather: copy,
  pick: copy,
  cast: { computes: "conversion" },
} as const satisfies Readonly<Record<Op, Kind>>;

/** The operations whose kind has these properties. */
export type OpsOfKind<K extends Partial<Kind>> = {
  [O in Op]: (typeof kinds)[O] extends K ? O : never;
}[Op];

/** The kind of the operation that computes `x`. */
export const operationKind = (x: Tensor): Kind => kinds[x.op];

/** The inputs whose elements are read; the shape of the others may be read after their memory is freed. */
export const readInputs = (x: Tensor): readonly Tensor[] =>
  operationKind(x).readsFirst ? x.inputs.slice(0, 1) : x.inputs;
