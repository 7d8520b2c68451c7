/**
 * @file The layers that networks are made of, as functions of their weights (`Params`) and a tensor. B batch, C channels,
 * N tokens, D width.
 */

import * as t from "./tensor/operations.js";
import type { Params } from "./tensor/params.js";
import type { Padding, Tensor } from "./tensor/tensor.js";

/** x: [..., D] -> [..., out] */
export function linear(p: Params, x: Tensor, out: number, { bias = true } = {}): Tensor {
  return p.layer(() => {
    const y = t.matmul(x, p.get("weight", [out, x.shape.at(-1)!]), { transposeB: true });
    return bias ? t.add(y, p.get("bias", [out])) : y;
  });
}

type ConvOptions = { kernel?: number; stride?: number; padding?: number | Padding; bias?: boolean };

/** x: [B, C, H, W] -> [B, out, H', W'] */
export function conv2d(p: Params, x: Tensor, out: number, options: ConvOptions = {}): Tensor {
  const { kernel = 3, stride = 1, padding = kernel >> 1, bias = true } = options;
  return p.layer(() => {
    const weight = p.get("weight", [out, x.shape[1]!, kernel, kernel]);
    return t.conv2d(x, weight, bias ? p.get("bias", [out]) : undefined, { stride, padding });
  });
}

/** x: [B, C, H, W], normalised over each of `groups` groups of channels. */
export function groupNorm(p: Params, x: Tensor, { groups, eps }: { groups: number; eps: number }): Tensor {
  const C = x.shape[1]!;
  return p.layer(() => t.groupNorm(x, p.get("weight", [C]), p.get("bias", [C]), groups, eps));
}

/** x: [..., D], normalised over D. */
export function layerNorm(p: Params, x: Tensor, { eps = 1e-5 } = {}): Tensor {
  const D = x.shape.at(-1)!;
  return p.layer(() => t.layerNorm(x, p.get("weight", [D]), p.get("bias", [D]), eps));
}

/** ids: [...] -> [..., width] */
export const embedding = (p: Params, ids: Tensor, rows: number, width: number): Tensor =>
  p.layer(() => t.gather(p.get("weight", [rows, width]), ids));

/** [B, C, H, W] -> [B, H*W, C] */
export const tokens = (x: Tensor): Tensor => t.transpose(t.reshape(x, [t.keep, t.keep, -1]), [0, 2, 1]);

/** [B, H*W, C] -> [B, C, H, W], H and W being those of `like` */
export const pixels = (x: Tensor, like: Tensor): Tensor =>
  t.reshape(t.transpose(x, [0, 2, 1]), [t.keep, x.shape[2]!, t.dim(like, 2), t.dim(like, 3)]);

/** [B, C] -> [B, C, 1, 1] */
export const perChannel = (x: Tensor): Tensor => t.reshape(x, [t.keep, t.keep, 1, 1]);

/**
 * The sinusoidal embedding of DDPM (Ho et al. 2020, appendix B) as Diffusers' `get_timestep_embedding` computes it,
 * with float32 frequencies. x: [...] -> [..., width], cosines first if `cosFirst` (config `flip_sin_to_cos`).
 */
export function sinusoid(x: Tensor, width: number, { cosFirst = true, shift = 0 } = {}): Tensor {
  const half = width >> 1;
  const frequencies = Float32Array.from({ length: half }, (_, i) =>
    Math.exp(Math.fround(Math.fround(-Math.log(10_000) * i) / (half - shift))),
  );
  const angles = t.mul(t.reshape(x, [...x.shape.map(() => t.keep), 1]), t.constant(frequencies));
  const waves = [t.cos(angles), t.sin(angles)];
  return t.concat(cosFirst ? waves : waves.reverse(), x.rank);
}
