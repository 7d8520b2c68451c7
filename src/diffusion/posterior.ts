/** @file Gaussian posteriors: the forward process's at a step, and an autoencoder's, from which latents are sampled. */

import { f32 } from "./arithmetic.js";
import type { NoiseSource } from "./random.js";
import { weightedSum } from "./vector.js";

/**
 * Variance of q(x_to | x_from, x_0), from alpha-bar at the two timesteps, in float32: Ho et al., "Denoising Diffusion
 * Probabilistic Models" (arXiv 2006.11239), equation 7.
 */
export function posteriorVariance(from: number, to: number): number {
  return f32(f32(f32(1 - to) / f32(1 - from)) * f32(1 - f32(from / to)));
}

/** Mean of q(x_to | x_from, x_0), of the same equation: `clean` is x_0, `sample` is x_from. */
export function posteriorMean(
  clean: Float32Array,
  sample: Float32Array,
  { from, to }: { from: number; to: number },
): Float32Array {
  const [alpha, noise] = [f32(from / to), f32(1 - from)];
  const cleanFactor = (Math.sqrt(to) * f32(1 - alpha)) / noise;
  const sampleFactor = (Math.sqrt(alpha) * f32(1 - to)) / noise;
  return weightedSum([cleanFactor, clean], [sampleFactor, sample]);
}

/**
 * The same for samples that are clean + sigma * noise: `down` is the sigma that a deterministic step goes to, `up` the
 * deviation of the noise added afterwards, up^2 + down^2 = to^2. In float64: Diffusers takes the difference of float32
 * squares, which between distant sigmas keeps no digit and may be negative.
 */
export function ancestralSigmas(from: number, to: number): { up: number; down: number } {
  const down = (to * to) / from;
  return { up: Math.sqrt(to * to - down * down), down };
}

/** What an encoder gives: `AutoencoderKL` mean and log-variance of a posterior, `AutoencoderTiny` latents. */
export type EncoderOutput = {
  encodes: "moments" | "latents";
  /** scaling_factor of the autoencoder's config: the U-Net reads latents times this. */
  scalingFactor: number;
  /** latents_mean and latents_std: latents are also centred and divided by these. */
  statistics?: PerChannel | undefined;
};

/** Of latents, a number per channel. */
type PerChannel = { mean: readonly number[]; std: readonly number[] };

/**
 * encoded: [B, 2C, h, w] or [B, C, h, w] -> scaled latents [B, C, h, w]. Moments are sampled; latents draw nothing from
 * `source`.
 */
export function sampleLatents(
  encoded: Float32Array,
  output: EncoderOutput,
  batch: number,
  source: NoiseSource,
): Float32Array {
  const { encodes } = output;
  return scaled(encodes === "moments" ? samplePosterior(encoded, batch, source) : encoded, output, batch);
}

/** The posterior's mean of one image, scaled: [2C, h, w] or [C, h, w] -> [C, h, w] */
export function meanLatents(encoded: Float32Array, output: EncoderOutput): Float32Array {
  const { encodes } = output;
  return scaled(encodes === "moments" ? encoded.subarray(0, encoded.length / 2) : encoded, output, 1);
}

/**
 * moments: [B, 2C, h, w], mean before log-variance -> a sample of the normal distribution that they describe,
 * [B, C, h, w]. One draw for the whole batch; the log-variance is clamped to -30..20, and each operation is rounded to
 * float32, as in Diffusers' `DiagonalGaussianDistribution`.
 */
export function samplePosterior(moments: Float32Array, batch: number, source: NoiseSource): Float32Array {
  const size = moments.length / (2 * batch);
  const noise = source.normal(batch * size);
  return noise.map((n, i) => {
    const mean = (i % size) + 2 * size * Math.floor(i / size);
    const logvar = Math.min(Math.max(moments[mean + size]!, -30), 20);
    const std = f32(Math.exp(f32(0.5 * logvar)));
    return moments[mean]! + f32(std * n);
  });
}

/** latents: [B, C, h, w] */
function scaled(
  latents: Float32Array,
  { scalingFactor, statistics }: Omit<EncoderOutput, "encodes">,
  batch: number,
): Float32Array {
  const factor = f32(scalingFactor);
  if (!statistics) return latents.map((x) => x * factor);
  const { mean, std } = perValue(statistics, latents.length / batch);
  return latents.map((x, i) => f32(f32(x - mean(i)) * factor) / std(i));
}

/** Scaled latents [B, C, h, w] -> what the decoder reads. */
export function unscaledLatents(
  latents: Float32Array,
  { scalingFactor, statistics }: Omit<EncoderOutput, "encodes">,
  batch: number,
): Float32Array {
  if (!statistics) return latents.map((x) => x / scalingFactor);
  const { mean, std } = perValue(statistics, latents.length / batch);
  return latents.map((x, i) => f32(f32(x * std(i)) / f32(scalingFactor)) + mean(i));
}

/** The statistics of the channel that the i-th number is of; `size` numbers an image. */
function perValue({ mean, std }: PerChannel, size: number) {
  const ofChannel = (numbers: readonly number[]) => {
    const rounded = numbers.map(f32);
    return (i: number) => rounded[Math.floor(((i % size) * rounded.length) / size)]!;
  };
  return { mean: ofChannel(mean), std: ofChannel(std) };
}
