/**
 * @file The graph as ONNX Runtime's CPU provider rewrites it around convolutions (`core/optimizer/nchwc_transformer.cc`):
 * images with their channels in blocks (NCHWc), and copies into and out of that layout. For estimating memory: such a
 * copy is written as a transpose that moves nothing.
 */

import { made, type Shape, Tensor, withInputs } from "../../tensor/tensor.js";

/** Channels in a block: 16 with AVX-512, 8 without. */
const block = 16;

export type NchwcGraph = {
  roots: readonly Tensor[];
  /** Each node's index: of several nodes ONNX Runtime executes the one with the highest index first. */
  index: ReadonlyMap<Tensor, number>;
};

/** Rewrites the graph behind `roots`; `steps` are its tensors in the order in which they would run. */
export function nchwcGraph(steps: readonly Tensor[], roots: readonly Tensor[]): NchwcGraph {
  const index = new Map<Tensor, number>();
  const create = (x: Tensor): Tensor => {
    index.set(x, steps.length + index.size);
    return x;
  };
  const plain = new Map<Tensor, Tensor>(); // in NCHW
  const native = new Map<Tensor, Tensor>(); // computed in NCHWc
  const copied = new Map<Tensor, Tensor>(); // copied into NCHWc
  /** Tensors whose sizes shape inference does not know: those computed from an upsampled image. */
  const unsized = new Set<Tensor>();
  const inNchw = (x: Tensor): Tensor => {
    const known = plain.get(x) ?? create(copy(native.get(x)!, x.shape));
    if (unsized.has(x) || (native.has(x) && unsized.has(native.get(x)!))) unsized.add(known);
    plain.set(x, known);
    return known;
  };
  const inBlocks = (x: Tensor): Tensor => {
    if (x.shape[1]! < block) return native.get(x) ?? inNchw(x);
    const known = native.get(x) ?? copied.get(x) ?? create(copy(inNchw(x), padded(x.shape)));
    if (known.inputs.some((y) => unsized.has(y))) unsized.add(known);
    if (!native.has(x)) copied.set(x, known);
    return known;
  };
  for (const [i, x] of steps.entries()) {
    const [first, ...others] = x.inputs;
    const convolves = made("conv2d", x);
    if (convolves || (staysInBlocks(x) && x.inputs.every((y) => native.has(y)))) {
      const inputs = convolves
        ? [inBlocks(first!), ...others.map(inNchw)]
        : x.inputs.map((y) => native.get(y)!);
      const own = create(new Tensor(x.op, inputs, padded(x.shape), x.attrs, x.dtype));
      native.set(x, own);
      if (inputs.some((y) => unsized.has(y)) || made("upsample", x)) unsized.add(own);
      continue;
    }
    const inputs = x.inputs.map(inNchw);
    const own = withInputs(x, inputs);
    index.set(own, i);
    plain.set(x, own);
    if (inputs.some((y) => unsized.has(y)) || made("upsample", x)) unsized.add(own);
    if (made("groupNorm", x) && unsized.has(own)) {
      // Scale and shift are operations of their own, which cannot write over their inputs.
      const scaled = new Tensor("transpose", [own, inputs[0]!], x.shape, { perm: [0, 1, 2, 3] }, x.dtype);
      index.set(scaled, i + 0.3);
      const shifted = copy(scaled, x.shape);
      index.set(shifted, i + 0.6);
      plain.set(x, shifted);
      unsized.add(shifted);
    }
  }
  return { roots: roots.map(inNchw), index };
}

const staysInBlocks = (x: Tensor): boolean =>
  made("add", x) || made("upsample", x) || (made("concat", x) && x.attrs.axis === 1);

const copy = (x: Tensor, shape: Shape): Tensor =>
  new Tensor("transpose", [x], shape, { perm: shape.map((_, axis) => axis) }, x.dtype);

const padded = ([B, C, ...rest]: Shape): number[] => [B!, Math.ceil(C! / block) * block, ...rest];
