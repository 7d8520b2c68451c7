/** @file Latents as the U-Net reads them, from what an autoencoder's encoder gives. */

import type { NoiseSource } from "./random.js";

const { fround } = Math;

/** What an encoder gives: `AutoencoderKL` mean and log-variance of a posterior, `AutoencoderTiny` latents. */
export type EncoderOutput = {
  encodes: "moments" | "latents";
  /** The autoencoder's `scaling_factor`: the U-Net's latents are its own times this. */
  scalingFactor: number;
};

/**
 * encoded: [B, 2C, h, w] or [B, C, h, w] -> scaled latents [B, C, h, w]. Moments are sampled; latents draw nothing from
 * `source`.
 */
export function sampleLatents(
  encoded: Float32Array,
  { encodes, scalingFactor }: EncoderOutput,
  batch: number,
  source: NoiseSource,
): Float32Array {
  const latents = encodes === "moments" ? samplePosterior(encoded, batch, source) : encoded;
  return scaled(latents, scalingFactor);
}

/** The posterior's mean of one image, scaled: [2C, h, w] or [C, h, w] -> [C, h, w] */
export function meanLatents(encoded: Float32Array, { encodes, scalingFactor }: EncoderOutput): Float32Array {
  return scaled(encodes === "moments" ? encoded.subarray(0, encoded.length / 2) : encoded, scalingFactor);
}

/**
 * moments: [B, 2C, h, w], mean before log-variance -> a sample of the normal distribution they describe,
 * [B, C, h, w]. One draw for the whole batch; the log-variance is held to -30..20, and each step is rounded to
 * float32, as Diffusers' `DiagonalGaussianDistribution` does.
 */
export function samplePosterior(moments: Float32Array, batch: number, source: NoiseSource): Float32Array {
  const size = moments.length / (2 * batch);
  const noise = source.normal(batch * size);
  return noise.map((n, i) => {
    const mean = (i % size) + 2 * size * Math.floor(i / size);
    const logvar = Math.min(Math.max(moments[mean + size]!, -30), 20);
    const std = fround(Math.exp(fround(0.5 * logvar)));
    return moments[mean]! + fround(std * n);
  });
}

/** latents times the autoencoder's `scaling_factor`, which is what the U-Net sees. */
export const scaled = (latents: Float32Array, scalingFactor: number): Float32Array =>
  latents.map((x) => x * fround(scalingFactor));
