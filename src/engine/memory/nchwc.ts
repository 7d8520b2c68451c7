/**
 * @file The graph as ONNX Runtime's CPU provider rewrites it around convolutions: images whose channels lie in blocks,
 * and copies into and out of that order. For predicting memory: such a copy is written as a transposition that moves
 * nothing. Runs nothing, lowers nothing.
 *
 * The rules are those of `core/optimizer/nchwc_transformer.cc`.
 */

import { made, type Shape, Tensor } from "../../tensor/tensor.js";

/** Channels in a block: 16 with AVX-512, where it matters 8 without. */
const block = 16;

export type Blocked = {
  roots: readonly Tensor[];
  /** Each node's number: where ONNX Runtime has a choice it goes to the higher one first. */
  index: ReadonlyMap<Tensor, number>;
};

/** Rewrites the graph behind `roots`; `steps` are its tensors in the order in which they would run. */
export function blocked(steps: readonly Tensor[], roots: readonly Tensor[]): Blocked {
  const index = new Map<Tensor, number>();
  const create = (x: Tensor): Tensor => {
    index.set(x, steps.length + index.size);
    return x;
  };
  /** Each step in the usual order, made in blocks, and copied into blocks. */
  const [plain, native, copied] = [
    new Map<Tensor, Tensor>(),
    new Map<Tensor, Tensor>(),
    new Map<Tensor, Tensor>(),
  ];
  /** Whose sizes shape inference does not know: all that comes after an image grew. */
  const unsized = new Set<Tensor>();
  const usual = (x: Tensor): Tensor => {
    const known = plain.get(x) ?? create(copy(native.get(x)!, x.shape));
    if (unsized.has(x) || (native.has(x) && unsized.has(native.get(x)!))) unsized.add(known);
    plain.set(x, known);
    return known;
  };
  const image = (x: Tensor): Tensor => {
    if (x.shape[1]! < block) return native.get(x) ?? usual(x);
    const known = native.get(x) ?? copied.get(x) ?? create(copy(usual(x), padded(x.shape)));
    if (known.inputs.some((y) => unsized.has(y))) unsized.add(known);
    if (!native.has(x)) copied.set(x, known);
    return known;
  };
  for (const [i, x] of steps.entries()) {
    const [first, ...others] = x.inputs;
    const convolves = made("conv2d", x);
    if (convolves || (staysInBlocks(x) && x.inputs.every((y) => native.has(y)))) {
      const inputs = convolves ? [image(first!), ...others.map(usual)] : x.inputs.map((y) => native.get(y)!);
      const own = create(new Tensor(x.op, inputs, padded(x.shape), x.attrs, x.dtype));
      native.set(x, own);
      if (inputs.some((y) => unsized.has(y)) || made("upsample", x)) unsized.add(own);
      continue;
    }
    const inputs = x.inputs.map(usual);
    const same = inputs.every((y, j) => y === x.inputs[j]);
    const own = same ? x : new Tensor(x.op, inputs, x.shape, x.attrs, x.dtype);
    index.set(own, i);
    plain.set(x, own);
    if (inputs.some((y) => unsized.has(y)) || made("upsample", x)) unsized.add(own);
    if (made("groupNorm", x) && unsized.has(own)) {
      // Its scale and its shift are operations of their own, which cannot write over what they read.
      const scaled = new Tensor("transpose", [own, inputs[0]!], x.shape, { perm: [0, 1, 2, 3] }, x.dtype);
      index.set(scaled, i + 0.3);
      const shifted = copy(scaled, x.shape);
      index.set(shifted, i + 0.6);
      plain.set(x, shifted);
      unsized.add(shifted);
    }
  }
  return { roots: roots.map(usual), index };
}

const staysInBlocks = (x: Tensor): boolean =>
  made("add", x) || made("upsample", x) || (made("concat", x) && x.attrs.axis === 1);

const copy = (x: Tensor, shape: Shape): Tensor =>
  new Tensor("transpose", [x], shape, { perm: shape.map((_, axis) => axis) }, x.dtype);

const padded = ([B, C, ...rest]: Shape): number[] => [B!, Math.ceil(C! / block) * block, ...rest];
