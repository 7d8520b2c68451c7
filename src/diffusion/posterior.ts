/** @file From what an autoencoder gave to the latents that are trained on. */

import type { NoiseSource } from "./random.js";

const { fround } = Math;

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
