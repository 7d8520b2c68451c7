/**
 * @file The latents that a generation begins with: pure noise, an image with some noise (image-to-image), or an image
 * of which only the masked region may change (inpainting with a 4-channel U-Net). The order of draws is Diffusers'.
 */

import { type EncoderOutput, sampleLatents } from "../diffusion/posterior.js";
import { type NoiseSource, randn } from "../diffusion/random.js";
import type { Scheduler } from "../diffusion/schedulers/scheduler.js";
import { InvalidRequest } from "../errors.js";
import type { ImageValues } from "./input-image.js";
import type { CheckedRequest } from "./request.js";

/** The known region of an inpainting: restored after each step where `mask` is 0. Arrays are those of the latents. */
export type InpaintState = { latents: Float32Array; noise: Float32Array; mask: Float32Array };

/** [batch, channels, height, width] of the latents */
export type LatentShape = readonly [batch: number, channels: number, height: number, width: number];

/** The autoencoder that encodes images. */
type Encoder = {
  output: EncoderOutput;
  /** image -> the encoder's output, of one image */
  encode: (image: ImageValues) => Promise<Float32Array>;
};

/** What latents are prepared from; `image` is pixels, or latents that are scaled already. */
export type LatentInputs = {
  scheduler: Scheduler;
  timesteps: readonly number[];
  shape: LatentShape;
  image: ImageValues | Float32Array | undefined;
  /** [height, width] in pixels: 1 where the image is generated anew, 0 where it is kept. */
  mask: Float32Array | undefined;
  encoder: Encoder;
};

/** InvalidRequest for latents that do not fit the size and the batch. */
export function checkLatents({ latents, image }: CheckedRequest, shape: LatentShape): void {
  const length = sizeOf(shape);
  if (latents && latents.length !== length) {
    const rule = `must hold ${length} numbers for this size and batch, got ${latents.length}.`;
    throw new InvalidRequest("latents", latents, rule);
  }
  if (image instanceof Float32Array && (image.length === 0 || length % image.length !== 0)) {
    const rule = `must hold latents of this size and batch (${length} numbers or a whole share of them)`;
    throw new InvalidRequest("image", image, `${rule}, got ${image.length}.`);
  }
}

/** The first latents, and the known region of an inpainting. */
export async function prepareLatents(
  request: CheckedRequest,
  inputs: LatentInputs,
): Promise<{ latents: Float32Array; inpaint: InpaintState | undefined }> {
  const { scheduler, shape, image } = inputs;
  const { latents = undefined, generators } = request;
  if (image !== undefined) return imageLatents(request, { ...inputs, image });
  const noise = latents ?? randn(sizeOf(shape), generators);
  return { latents: atFirstSigma(noise, scheduler), inpaint: undefined };
}

/** Image-to-image and inpainting. */
async function imageLatents(
  request: CheckedRequest,
  { scheduler, timesteps, shape, image, mask, encoder }: LatentInputs & { image: ImageValues | Float32Array },
): Promise<{ latents: Float32Array; inpaint: InpaintState | undefined }> {
  const { strength, denoisingStart, generators } = request;
  const isListed = request.seeds !== undefined;
  const clean = await cleanLatents(image, request, { shape, encoder, mask, perImage: !mask || isListed });
  const noise = denoisingStart === undefined || mask ? randn(clean.length, generators) : undefined;
  const latents =
    denoisingStart !== undefined
      ? clean
      : mask && strength === 1
        ? atFirstSigma(noise!, scheduler)
        : scheduler.addNoise(clean, noise!, timesteps[0]!);
  if (!mask) return { latents, inpaint: undefined };
  if (!(image instanceof Float32Array)) {
    // Diffusers encodes the masked image too: a 4-channel U-Net does not read it, but its draw moves the generator.
    await cleanLatents(masked(image, mask), request, { shape, encoder, mask, perImage: isListed });
  }
  return { latents, inpaint: { latents: clean, noise: noise!, mask: latentMask(mask, shape, request) } };
}

/** Restores the known region after a step: noised to the next timestep, clean after the last one. */
export function blendKnown(
  scheduler: Scheduler,
  { latents: known, noise, mask }: InpaintState,
  latents: Float32Array,
  next: number | undefined,
): Float32Array {
  const before = next === undefined ? known : scheduler.addNoise(known, noise, next);
  return latents.map((v, i) => (1 - mask[i]!) * before[i]! + mask[i]! * v);
}

type CleanOptions = Pick<LatentInputs, "shape" | "encoder" | "mask"> & { perImage: boolean };

/** The image's latents, drawn from the autoencoder's posterior: with a list of generators once per image, or once. */
async function cleanLatents(
  image: ImageValues | Float32Array,
  { generators, batch }: CheckedRequest,
  { shape, encoder, perImage, mask }: CleanOptions,
): Promise<Float32Array> {
  // Diffusers' inpainting encodes without latents_mean and latents_std, though it decodes with them.
  const output = mask ? { ...encoder.output, statistics: undefined } : encoder.output;
  const length = sizeOf(shape);
  if (image instanceof Float32Array) return repeated(image, length);
  const encoded = await encoder.encode(image);
  const sample = (generator: NoiseSource) => sampleLatents(encoded, output, 1, generator);
  if (!("length" in generators)) return repeated(sample(generators as NoiseSource), length);
  if (!perImage) return repeated(sample(generators[0]!), length);
  const latents = new Float32Array(length);
  for (const [i, generator] of generators.entries()) latents.set(sample(generator), (i * length) / batch);
  return latents;
}

const sizeOf = (shape: LatentShape): number => shape.reduce((a, b) => a * b, 1);

function atFirstSigma(noise: Float32Array, { initNoiseSigma }: Scheduler): Float32Array {
  const sigma = Math.fround(initNoiseSigma);
  return noise.map((v) => v * sigma);
}

function repeated(one: Float32Array, length: number): Float32Array {
  const all = new Float32Array(length);
  for (let at = 0; at < length; at += one.length) all.set(one, at);
  return all;
}

/** The mask at the latents' size by the nearest pixel: [batch, channels, h, w] */
function latentMask(
  mask: Float32Array,
  [batch, channels, h, w]: LatentShape,
  { width, height }: { width: number; height: number },
): Float32Array {
  return Float32Array.from({ length: batch * channels * h * w }, (_, i) => {
    const [y, x] = [Math.floor(i / w) % h, i % w];
    return mask[Math.floor((y * height) / h) * width + Math.floor((x * width) / w)]!;
  });
}

/** The image with its masked region at 0, the middle grey. */
function masked({ data, ...size }: ImageValues, mask: Float32Array): ImageValues {
  return { ...size, data: data.map((v, i) => (mask[i % mask.length]! < 0.5 ? v : 0)) };
}
