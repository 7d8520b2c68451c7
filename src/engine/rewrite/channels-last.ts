/**
 * @file Rewrites a traced graph for training: images have their channels last, as tokens do, so that nothing is
 * transposed between a convolution and a transformer, and convolutions become matrix products over the batch
 * (`convolution.ts`). The results are the same to rounding. The traced sizes become constants of the graph, so it is for
 * programs that run at one size.
 *
 * An image has two forms: `plain`, [B, C, H, W], and `last`, [B, H*W, C]. Each is made when it is first needed.
 */

import { groupNormOf } from "../../tensor/group-norm.js";
import { type OpsOfKind, operationKind } from "../../tensor/kinds.js";
import * as t from "../../tensor/operations.js";
import { reshape, transpose } from "../../tensor/operations.js";
import { topological } from "../../tensor/order.js";
import { count, made, type Padding, sameShape, Tensor, withInputs } from "../../tensor/tensor.js";
import { convolve, convolveAdjoint, convolveKernel, type Geometry, sumOfRows } from "./convolution.js";
import type { Graph } from "./graph.js";

/** The same results, computed with channels last. */
export function channelsLast<G extends Graph>(outputs: G): G {
  const forms: Forms = { plain: new Map(), last: new Map(), images: new Set() };
  // In topological order, so that the forms of an operation's inputs exist and the recursion is shallow.
  for (const x of topological(Object.values(outputs))) {
    if (isImage(forms, x)) {
      forms.images.add(x);
      last(forms, x);
    } else plain(forms, x);
  }
  return Object.fromEntries(Object.entries(outputs).map(([name, x]) => [name, plain(forms, x)])) as G;
}

type Forms = {
  readonly plain: Map<Tensor, Tensor>;
  readonly last: Map<Tensor, Tensor>;
  /** Tensors that are computed with channels last; their plain form is a transpose of that. */
  readonly images: Set<Tensor>;
};

function isImage({ images }: Forms, x: Tensor): boolean {
  if (x.rank !== 4) return false;
  if (isImageOp(x)) return true;
  if (pixelsOf(x)) return true;
  if (made("concat", x) || made("slice", x)) return x.attrs.axis < 2 && x.inputs.every((y) => images.has(y));
  if (operationKind(x).computes !== "elementwise") return false;
  const whole = (y: Tensor) => sameShape(y.shape, x.shape);
  return (
    x.inputs.some((y) => whole(y) && images.has(y)) && x.inputs.every((y) => whole(y) || isPerChannel(y))
  );
}

/** Whether it broadcasts over pixels: one element, [C, 1, 1], [1, C, 1, 1] or [B, C, 1, 1]. */
const isPerChannel = ({ shape }: Tensor) =>
  count(shape) === 1 || (shape.length >= 3 && shape.slice(-2).every((d) => d === 1));

/** The tokens [B, H*W, C] that `pixels` (`nn.ts`) reshaped to the image x; undefined for other tensors. */
function pixelsOf(x: Tensor): Tensor | undefined {
  const [transposed] = x.inputs;
  if (!made("reshape", x) || x.rank !== 4 || !transposed || !made("transpose", transposed)) return undefined;
  const [B, C] = x.shape;
  const { attrs, shape, inputs } = transposed;
  return attrs.perm.join() === "0,2,1" && shape[0] === B && shape[1] === C ? inputs[0]! : undefined;
}

/** The image that `tokens` (`nn.ts`) reshaped to x: [B, H*W, C]; undefined for other tensors. */
function tokensOf(x: Tensor): Tensor | undefined {
  const [flat] = x.inputs;
  if (!made("transpose", x) || x.attrs.perm.join() !== "0,2,1" || !made("reshape", flat!)) return undefined;
  const image = flat.inputs[0]!;
  return image.rank === 4 && sameShape(flat.shape.slice(0, 2), image.shape.slice(0, 2)) ? image : undefined;
}

function remember(map: Map<Tensor, Tensor>, x: Tensor, make: () => Tensor): Tensor {
  const known = map.get(x) ?? make();
  map.set(x, known);
  return known;
}

/** x in its traced shape. */
function plain(forms: Forms, x: Tensor): Tensor {
  return remember(forms.plain, x, () => {
    const [B, C, H, W] = x.shape as [number, number, number, number];
    if (forms.images.has(x)) return transpose(reshape(last(forms, x), [B, H, W, C]), [0, 3, 1, 2]);
    const image = tokensOf(x);
    if (image && forms.images.has(image)) return last(forms, image);
    if (made("conv2dKernel", x)) return kernel(forms, x);
    if ((made("sum", x) || made("mean", x)) && forms.images.has(x.inputs[0]!)) return reduced(forms, x);
    const inputs = x.inputs.map((y) => plain(forms, y));
    if (made("sum", x) && overRows(x)) return reshape(sumOfRows(pixelRows(inputs[0]!)), x.shape);
    return withInputs(x, inputs);
  });
}

/** x: [B, C, H, W] as [B, H*W, C] */
function last(forms: Forms, x: Tensor): Tensor {
  return remember(forms.last, x, () => {
    if (forms.images.has(x)) return lastOf(forms, x);
    return transpose(reshape(plain(forms, x), [x.shape[0]!, x.shape[1]!, -1]), [0, 2, 1]);
  });
}

type ImageOp = OpsOfKind<{ image: true }>;
type Rule<O extends ImageOp> = (forms: Forms, x: Tensor<O>, inputs: readonly Tensor[]) => Tensor;

const isImageOp = (x: Tensor): x is Tensor<ImageOp> => operationKind(x).image === true;

const enlarged = (forms: Forms, x: Tensor, [image]: readonly Tensor[]) =>
  nearest(last(forms, image!), sizeOf(image!), sizeOf(x));

/** The operations on images, each with its channels last: [B, H*W, C] */
const rules: { readonly [O in ImageOp]: Rule<O> } = {
  conv2d: (forms, x, [image, w, b]) => {
    const y = convolve(last(forms, image!), plain(forms, w!), geometry(image!, x, sizeOf(w!), x.attrs));
    return b ? t.add(y, plain(forms, b)) : y;
  },
  conv2dTranspose: (forms, x, [g, w]) =>
    convolveAdjoint(last(forms, g!), plain(forms, w!), geometry(x, g!, sizeOf(w!), x.attrs)),
  groupNorm: (forms, x, [image, w, b]) =>
    groupNormOf(last(forms, image!), plain(forms, w!), plain(forms, b!), x.attrs),
  resize: enlarged,
  upsample: enlarged,
};

const imageOf = <O extends ImageOp>(forms: Forms, x: Tensor<O>): Tensor =>
  (rules[x.op] as Rule<O>)(forms, x, x.inputs);

function lastOf(forms: Forms, x: Tensor): Tensor {
  const tokens = pixelsOf(x);
  if (tokens) return plain(forms, tokens);
  if (isImageOp(x)) return imageOf(forms, x);
  if (made("concat", x)) {
    const images = x.inputs.map((y) => last(forms, y));
    return t.concat(images, 2 * x.attrs.axis);
  }
  if (made("slice", x)) {
    const { axis, start, end, step } = x.attrs;
    return t.slice(last(forms, x.inputs[0]!), 2 * axis, start, end, step);
  }
  const [B, C, H, W] = x.shape as [number, number, number, number];
  const operands = x.inputs.map((y) => operand(forms, y, x));
  return new Tensor(x.op, operands, [B, H * W, C], x.attrs, x.dtype);
}

/** An operand of an elementwise operation, so that it broadcasts over [B, H*W, C]. */
function operand(forms: Forms, y: Tensor, x: Tensor): Tensor {
  if (sameShape(y.shape, x.shape)) return last(forms, y);
  const value = plain(forms, y);
  if (y.rank < 3) return value;
  return reshape(value, [...y.shape.slice(0, -3), 1, y.shape.at(-3)!]);
}

/** A sum or mean of an image: with channels last if it is over both H and W, else of its plain form. */
function reduced(forms: Forms, x: Tensor<"sum"> | Tensor<"mean">): Tensor {
  const { axes } = x.attrs;
  const [image] = x.inputs as [Tensor];
  const both = axes.includes(2) && axes.includes(3);
  if (!both) return withInputs<"sum" | "mean">(x, [plain(forms, image)]);
  if (x.op === "sum" && axes.join() === "0,2,3")
    return reshape(sumOfRows(pixelRows(last(forms, image))), x.shape);
  const axesLast = [...(axes.includes(0) ? [0] : []), 1, ...(axes.includes(1) ? [2] : [])];
  const small = x.op === "sum" ? t.sum(last(forms, image), axesLast) : t.mean(last(forms, image), axesLast);
  return reshape(small, x.shape);
}

/** Whether it sums over all axes but the last, as the gradient of a bias does. */
const overRows = ({ attrs: { axes }, inputs: [x] }: Tensor<"sum">) =>
  x!.rank > 1 && x!.shape.at(-1)! > 1 && axes.length === x!.rank - 1 && !axes.includes(x!.rank - 1);
const pixelRows = (x: Tensor) => reshape(x, [-1, x.shape.at(-1)!]);

function kernel(forms: Forms, x: Tensor<"conv2dKernel">): Tensor {
  const [g, image] = x.inputs as [Tensor, Tensor];
  return convolveKernel(last(forms, g), last(forms, image), geometry(image, g, x.attrs.kernel, x.attrs));
}

const sizeOf = (x: Tensor) => [x.shape[2]!, x.shape[3]!] as const;

const geometry = (
  from: Tensor,
  to: Tensor,
  kernel: readonly [number, number],
  { stride, padding }: { stride: number; padding: Padding },
): Geometry => ({ batch: from.shape[0]!, from: sizeOf(from), to: sizeOf(to), kernel, stride, padding });

/** x: [B, h*w, C] -> [B, H*W, C], pixel i from pixel floor(i * h / H) in each direction */
function nearest(x: Tensor, [h, w]: readonly [number, number], [H, W]: readonly [number, number]): Tensor {
  const [B, , C] = x.shape as [number, number, number];
  const at = (i: number) => {
    const [image, pixel] = [Math.floor(i / (H * W)), i % (H * W)];
    const y = Math.floor((Math.floor(pixel / W) * h) / H);
    return BigInt((image * h + y) * w + Math.floor(((pixel % W) * w) / W));
  };
  const ids = BigInt64Array.from({ length: B * H * W }, (_, i) => at(i));
  return t.gather(reshape(x, [B * h * w, C]), t.constant(ids, [B, H * W]));
}
