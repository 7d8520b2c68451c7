/**
 * @file Operations that no network is traced with: what rewriting for a device makes of others (`engine/rewrite/`). They
 * have no gradient, since that is asked for before.
 */

import { conv2d, convolvedSize, refuse } from "./operations.js";
import { type Attributes, sameShape, show, Tensor } from "./tensor.js";

/**
 * `linear` with a quantised weight: element [n, k] is (codes - 128) of that place times the factor of its block.
 * x: [..., K], codes: [N, blocks, block], scales: [N, blocks], b: [N] -> [..., N]
 */
export function quantizedLinear(x: Tensor, codes: Tensor, scales: Tensor, b?: Tensor): Tensor {
  const [N, blocks, block] = codes.shape as [number, number, number];
  const fits = codes.dtype === "uint8" && blocks * block === x.shape.at(-1);
  if (!fits || !sameShape(scales.shape, [N, blocks]) || (b && !sameShape(b.shape, [N])))
    refuse("quantizedLinear", `input ${show(x.shape)} does not fit weight ${show(codes.shape)}`);
  const inputs = b ? [x, codes, scales, b] : [x, codes, scales];
  return new Tensor("quantizedLinear", inputs, [...x.shape.slice(0, -1), N], { block });
}

/**
 * `linear` with a weight of one factor a row: element [n, k] is codes[k, n] times that of row n.
 * x: [..., K], codes: [K, N], scales: [N], b: [N] -> [..., N]
 */
export function rowQuantizedLinear(x: Tensor, codes: Tensor, scales: Tensor, b?: Tensor): Tensor {
  const [K, N] = codes.shape as [number, number];
  const fits = codes.dtype === "int8" && codes.rank === 2 && x.shape.at(-1) === K;
  if (!fits || !sameShape(scales.shape, [N]) || (b && !sameShape(b.shape, [N])))
    refuse("rowQuantizedLinear", `input ${show(x.shape)} does not fit weight ${show(codes.shape)}`);
  const inputs = b ? [x, codes, scales, b] : [x, codes, scales];
  return new Tensor("rowQuantizedLinear", inputs, [...x.shape.slice(0, -1), N], {});
}

/**
 * `conv2d` with a kernel of one factor a result: element [o, c, i, j] is codes[(i kw + j) C + c, o] times that of o.
 * x: [B, C, H, W], codes: [kh kw C, O], scales: [O], b: [O] -> [B, O, H', W']
 */
export function rowQuantizedConv2d(
  x: Tensor,
  [codes, scales, b]: readonly [codes: Tensor, scales: Tensor, b: Tensor | undefined],
  { kernel, stride, padding }: Attributes["rowQuantizedConv2d"],
): Tensor {
  const [K, O] = codes.shape as [number, number];
  const [B, C, ...size] = x.shape as [number, number, number, number];
  const fits = codes.dtype === "int8" && codes.rank === 2 && x.rank === 4 && K === kernel[0] * kernel[1] * C;
  if (!fits || !sameShape(scales.shape, [O]) || (b && !sameShape(b.shape, [O])))
    refuse("rowQuantizedConv2d", `input ${show(x.shape)} does not fit kernel ${show(codes.shape)}`);
  const [height, width] = convolvedSize(size as [number, number], { kernel, stride, padding });
  const inputs = b ? [x, codes, scales, b] : [x, codes, scales];
  return new Tensor("rowQuantizedConv2d", inputs, [B, O, height, width], { kernel, stride, padding });
}

/** `conv2d` with a 3x3 kernel at stride 1 by Winograd's algorithm. x: [B, C, H, W], w: [O, C, 3, 3], b: [O] -> [B, O, H', W'] */
export function winogradConv2d(
  x: Tensor,
  w: Tensor,
  b: Tensor | undefined,
  { padding, ...attrs }: Attributes["winogradConv2d"],
): Tensor {
  if (w.shape[2] !== 3 || w.shape[3] !== 3)
    refuse("winogradConv2d", `weight ${show(w.shape)} must be [O, C, 3, 3]`);
  const { inputs, shape } = conv2d(x, w, b, { padding });
  return new Tensor("winogradConv2d", inputs, shape, { padding, ...attrs });
}
