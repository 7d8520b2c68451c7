/** @file Tolerances of inference: those that the golden data's README recommends, or tighter. */

import type { TensorData, Tolerance } from "./check.js";

const relative = (most: number): Tolerance => ({ kind: "relative", most });

export const equal: Tolerance = { kind: "equal" };
export const diffusersError: Tolerance = { kind: "refused" };
export const notFinite: Tolerance = { kind: "notFinite" };
export const stageTensor = relative(1e-4);
export const mergedWeight = relative(1e-4);
/**
 * Of the guidance scale's embedding, sines of angles up to 1000 times the scale in float32: PyTorch takes the exponential in
 * them from MKL, whose last bit is not always the nearest, and one unit there and in the product is this much of an angle.
 */
export const guidanceEmbeddingTolerance = (scale: number): Tolerance => ({
  kind: "absolute",
  most: Math.max(1e-4, Math.abs(scale - 1) * 1000 * 2 ** -23),
});
export const textEmbedding = relative(1e-4);
export const sigma = relative(1e-6);
/** Betas and their cumulative products: float32 on both sides, printed with nine digits. */
export const beta = relative(1e-7);
/**
 * Betas rescaled to zero terminal SNR go through PyTorch's float32 square root, which is one unit in the last place off in
 * 193 of 1,000 values on one processor and correctly rounded on another.
 */
export const rescaledBeta = relative(1e-5);
export const addedNoise = relative(1e-6);
export const schedulerStep = relative(1e-5);
const image: Tolerance = { kind: "psnr", least: 60 };
const imageFile: Tolerance = { kind: "levels", share: 0.01 };
/** Double precision normals pass through the platform's log, sin and cos. */
export const normal64 = relative(1e-14);
/** Published with eight decimals, from another machine. */
export const cudaNote = relative(1e-6);

/** Integer timesteps are equal; fractional ones are as near as the sigmas that they come from. */
export const timestepTolerance = ({ data }: TensorData): Tolerance =>
  Array.from(data as ArrayLike<number>).every(Number.isInteger) ? equal : sigma;

/**
 * Of the tensors of a run; a step's are named `steps.noise_pred[0]`. A run that begins with an image begins with what
 * a network made of it, and a flat part of an image loses digits in the norms: Diffusers' own distance between float32
 * and float64 reaches 1.5e-4 there.
 */
export function runTolerance(
  name: string,
  numbers: TensorData,
  { fromRgbImage }: { fromRgbImage: boolean },
): Tolerance {
  if (name === "initial_latents" && fromRgbImage) return stageTensor;
  if (name === "timesteps" || name === "scheduler_timesteps") return timestepTolerance(numbers);
  if (name === "scheduler_sigmas" || name === "initial_latents") return sigma;
  if (name.endsWith("add_time_ids")) return equal;
  if (name.endsWith("embeds") || name === "add_embedding_input") return textEmbedding;
  if (name === "image") return image;
  if (name.startsWith("png")) return imageFile;
  return relative(name === "steps.noise_pred[0]" ? 1e-4 : 1e-3);
}
