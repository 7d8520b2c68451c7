/**
 * @file GroupNorm and its gradient composed of other operations, for images with their channels last. Forward and
 * backward pass are made of the same nodes, which ONNX Runtime merges, so one program computes the statistics once.
 *
 * x, g: [B, N, C], N pixels; w, b: [C]. A mean over a group is two small products: [B, 1, C] by [C, groups], and back.
 */

import { add, constant, div, matmul, mean, mul, reshape, scalar, sqrt, sub, sum } from "./operations.js";
import type { Attributes, Tensor } from "./tensor.js";

type Norm = Attributes["groupNorm"];

/** x less its group's mean, and the reciprocal of the group's deviation for each channel: [B, 1, C] */
function statistics(
  x: Tensor,
  { groups, eps }: Norm,
): { centred: Tensor; rstd: Tensor; overGroup: OverGroup } {
  const C = x.shape[2]!;
  const [toGroups, toChannels] = [membership(C, groups, groups / C), membership(C, groups, 1)];
  const overGroup = (v: Tensor) => matmul(matmul(v, toGroups), toChannels, { transposeB: true });
  const centred = sub(x, overGroup(mean(x, [1])));
  const variance = overGroup(mean(mul(centred, centred), [1]));
  return { centred, rstd: div(scalar(1), sqrt(add(variance, eps))), overGroup };
}

type OverGroup = (perChannel: Tensor) => Tensor;

/** `value` where the channel belongs to the group, else 0: [C, groups] */
function membership(C: number, groups: number, value: number): Tensor {
  const size = C / groups;
  const data = new Float32Array(C * groups);
  for (let c = 0; c < C; c++) data[c * groups + Math.floor(c / size)] = value;
  return constant(data, [C, groups]);
}

/** -> [B, N, C] */
export function groupNormOf(x: Tensor, w: Tensor, b: Tensor, norm: Norm): Tensor {
  const { centred, rstd } = statistics(x, norm);
  return add(mul(centred, mul(rstd, w)), b);
}

/**
 * The gradients in x, w and b: rstd (w g - mean(w g) - y mean(w g y)) with y = centred rstd, both means taken from
 * sums per channel, which dw and db are made of.
 */
export function groupNormGradient(g: Tensor, x: Tensor, w: Tensor, norm: Norm): [Tensor, Tensor, Tensor] {
  const [, N, C] = x.shape as [number, number, number];
  const { centred, rstd, overGroup } = statistics(x, norm);
  const perChannel = sum(g, [1]);
  const along = mul(sum(mul(g, centred), [1]), rstd); // sum of g y
  const overPixels = (v: Tensor) => mul(mul(rstd, overGroup(mul(v, w))), 1 / N);
  const steady = sub(mul(g, mul(rstd, w)), overPixels(perChannel));
  const dx = sub(steady, mul(centred, mul(overPixels(along), rstd)));
  const overBatch = (v: Tensor) => reshape(sum(v, [0]), [C]);
  return [dx, overBatch(along), overBatch(perChannel)];
}
