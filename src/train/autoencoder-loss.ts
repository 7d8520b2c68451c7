/** @file The losses of AutoencoderTiny and AutoencoderKL, as traced graphs of images of any size. */

import { type TinyVaeConfig, tinyDecode, tinyEncode } from "../models/tiny-vae.js";
import { decode, encode, type VaeConfig } from "../models/vae.js";
import { add, exp, input, mean, mul, reshape, scalar, slice, step, sub, sum } from "../tensor/operations.js";
import { Params, tracing } from "../tensor/params.js";
import type { Tensor } from "../tensor/tensor.js";
import type { TracedLoss } from "./gradient-program.js";
import { squaredError } from "./loss.js";

export type ImageBatchSize = { batch: number; height: number; width: number };

/** A loss with what the network made on the way. */
export type AutoencoderLoss = TracedLoss & { latent: Tensor; reconstruction: Tensor };

type TinyAutoencoderTerms = { momentWeight?: number; decoderOnly?: boolean; noisy?: boolean };

/**
 * Mean squared error of the decoded image, and `momentWeight` times how far each latent channel's mean and mean
 * square are from 0 and 1, so that a diffusion model finds latents of the noise's scale. Input `image`: [B, 3, H, W]
 * in -1..1. With `decoderOnly` the latents are an input, `latent`, and only the decoder's weights are trained. With
 * `noisy` the input `noise`, of the latents' shape, is added before they are decoded: what a diffusion model makes of
 * them is never exact, and a decoder that has seen no error turns small ones into wrong shapes.
 */
export function tinyAutoencoderLoss(
  c: TinyVaeConfig,
  { batch, height, width }: ImageBatchSize,
  { momentWeight = 0, decoderOnly = false, noisy = false }: TinyAutoencoderTerms = {},
): AutoencoderLoss {
  const params = new Map<string, Tensor>();
  const p = new Params(tracing(params));
  const image = input("image", [batch, c.inChannels, height, width]);
  const factor = 2 ** (c.encoder.length - 1);
  const latent = decoderOnly
    ? input("latent", [batch, c.latentChannels, height / factor, width / factor])
    : tinyEncode(p, c, image);
  const reconstruction = tinyDecode(p, c, noisy ? add(latent, input("noise", latent.shape)) : latent);
  const mse = squaredError(reconstruction, image);
  if (momentWeight === 0 || decoderOnly)
    return { params, outputs: { total: mse, mse }, latent, reconstruction };
  const moments = momentError(latent);
  const total = add(mse, mul(moments, momentWeight));
  return { params, outputs: { total, mse, moments }, latent, reconstruction };
}

/** mean(z)^2 + (mean(z^2) - 1)^2, meaned over the channels of z: [B, C, H, W] -> [1] */
function momentError(z: Tensor): Tensor {
  const each = [0, 2, 3];
  const first = mean(z, each);
  const second = sub(mean(mul(z, z), each), 1);
  return reshape(mean(add(mul(first, first), mul(second, second))), [1]);
}

/**
 * Mean squared error of the decoded image plus `klWeight` times the divergence of the latent's distribution from the
 * standard normal one (Rombach et al. 2022, appendix G). Inputs `image`: [B, 3, H, W] in -1..1 and `eps`: [B, C, h, w],
 * the normal numbers behind the latent. No scaling factor.
 */
export function klAutoencoderLoss(
  c: VaeConfig,
  { batch, height, width }: ImageBatchSize,
  { klWeight = 1e-6 }: { klWeight?: number } = {},
): AutoencoderLoss & { moments: Tensor } {
  const params = new Map<string, Tensor>();
  const p = new Params(tracing(params));
  const image = input("image", [batch, c.inChannels, height, width]);
  const moments = encode(p, c, image);
  const centre = slice(moments, 1, 0, c.latentChannels);
  const logvar = clamped(slice(moments, 1, c.latentChannels, 2 * c.latentChannels), -30, 20);
  const latent = add(centre, mul(exp(mul(logvar, 0.5)), input("eps", centre.shape)));
  const reconstruction = decode(p, c, latent);
  const mse = squaredError(reconstruction, image);
  const kl = divergence(centre, logvar, batch);
  return {
    params,
    outputs: { total: add(mse, mul(kl, klWeight)), mse, kl },
    latent,
    reconstruction,
    moments,
  };
}

/** 0.5 (mean^2 + var - 1 - log var), summed over an image's latent, meaned over the batch. -> [1] */
function divergence(centre: Tensor, logvar: Tensor, batch: number): Tensor {
  const each = sub(sub(add(mul(centre, centre), exp(logvar)), 1), logvar);
  return reshape(mul(sum(each), 0.5 / batch), [1]);
}

/** x, held to low..high, where its gradient passes. */
function clamped(x: Tensor, low: number, high: number): Tensor {
  const [below, above] = [step(sub(scalar(low), x)), step(sub(x, high))];
  const inside = sub(sub(scalar(1), below), above);
  return add(mul(x, inside), add(mul(below, low), mul(above, high)));
}
