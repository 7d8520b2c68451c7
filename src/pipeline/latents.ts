/**
 * @file Where a generation begins: pure noise, an image with some noise (image-to-image), or an image of which only
 * the masked part may change (inpainting with a 4-channel U-Net). The order of draws is Diffusers'.
 */

import { roundHalfEven } from "../diffusion/arithmetic.js";
import { type NoiseSource, randn } from "../diffusion/random.js";
import type { Scheduler } from "../diffusion/schedulers/scheduler.js";
import { InvalidRequest } from "../errors.js";
import { decodeImage } from "../image/codec.js";
import { decodeMask } from "../image/mask.js";
import { fromRgbImage, type RgbImage, toGrey } from "../image/pixels.js";
import { resizeImage } from "../image/resize.js";
import type { CheckedRequest } from "./request.js";

/** An image as a file's path, a file's bytes, or pixels. */
export type ImageInput = string | Uint8Array | RgbImage;

/** What stays as it was: after each step it is put back where `mask` is 0. Arrays are those of the latents. */
export type InpaintState = { latents: Float32Array; noise: Float32Array; mask: Float32Array };

export type Start = {
  latents: Float32Array;
  timesteps: readonly number[];
  inpaint: InpaintState | undefined;
};

/** [batch, channels, height, width] of the latents */
type Shape = readonly [number, number, number, number];

/** An image as a network reads it: [3, height, width] in -1..1 */
export type ImageValues = { data: Float32Array; width: number; height: number };
/** Mean and log-variance, or latents alone, of the autoencoder. */
export type EncodeImage = (image: ImageValues) => Promise<EncodedImage>;
export type EncodedImage = { mean: Float32Array; logvar: Float32Array | undefined; scalingFactor: number };

/** Reads the image at the size that will be generated; without width and height its own, down to a multiple of `factor`. */
export async function readImage(
  source: ImageInput,
  factor: number,
  {
    width,
    height,
    warn,
  }: { width?: number | undefined; height?: number | undefined; warn: (text: string) => void },
): Promise<ImageValues> {
  const image = await read(source, "image");
  const fitted = (size: number) => Math.max(factor, Math.floor(size / factor) * factor);
  const resized = resizeImage(image, width ?? fitted(image.width), height ?? fitted(image.height));
  const changed = (asked: number | undefined, own: number, now: number) => asked === undefined && own !== now;
  if (changed(width, image.width, resized.width) || changed(height, image.height, resized.height)) {
    const sizes = `image: ${image.width}x${image.height} is generated at ${resized.width}x${resized.height}`;
    warn(`${sizes}, multiples of ${factor}. Give width and height for another size.`);
  }
  return { data: fromRgbImage(resized), width: resized.width, height: resized.height };
}

async function read(source: ImageInput, field: "image" | "mask"): Promise<RgbImage> {
  if (typeof source !== "string" && !(source instanceof Uint8Array)) return source;
  return field === "mask" ? decodeMask(source) : (await decodeImage(source)).image;
}

/** Noise alone, times the scheduler's first sigma. */
export function startFromNoise(
  scheduler: Scheduler,
  { latents, generators }: CheckedRequest,
  shape: Shape,
): Float32Array {
  const length = shape.reduce((a, b) => a * b, 1);
  if (latents && latents.length !== length) {
    throw new InvalidRequest(
      "latents",
      latents,
      `must hold ${length} numbers for this size and batch, got ${latents.length}.`,
    );
  }
  if (latents && !latents.every(Number.isFinite))
    throw new InvalidRequest("latents", latents, "must be finite, got NaN or infinity.");
  const sigma = Math.fround(scheduler.initNoiseSigma);
  return (latents ?? randn(length, generators)).map((v) => v * sigma);
}

/** Image-to-image and inpainting. `image` is the image at its size, or latents that were scaled already. */
export async function startFromImage(
  scheduler: Scheduler,
  request: CheckedRequest,
  shape: Shape,
  image: ImageValues | Float32Array,
  encode: EncodeImage,
): Promise<Start> {
  const { mask: maskSource, strength, denoisingStart, generators } = request;
  const timesteps = laterTimesteps(scheduler, request);
  const inpaints = maskSource !== undefined;
  const clean = await cleanLatents(image, request, shape, encode, {
    perImage: !inpaints || request.seeds !== undefined,
  });
  const length = clean.length;
  const noise = denoisingStart === undefined || inpaints ? randn(length, generators) : undefined;
  const latents =
    denoisingStart !== undefined
      ? clean
      : inpaints && strength === 1
        ? noise!.map((v) => v * Math.fround(scheduler.initNoiseSigma))
        : scheduler.addNoise(clean, noise!, timesteps[0]!);
  if (!inpaints) return { latents, timesteps, inpaint: undefined };
  const { pixels, latent } = await readMask(maskSource, shape, request);
  if (!(image instanceof Float32Array)) {
    // Diffusers encodes the masked image too: a 4-channel U-Net does not read it, but its draw moves the generator.
    await cleanLatents(masked(image, pixels), request, shape, encode, {
      perImage: request.seeds !== undefined,
    });
  }
  return { latents, timesteps, inpaint: { latents: clean, noise: noise!, mask: latent } };
}

/** Puts the kept part back after step `index`: noised to the next timestep, clean after the last one. */
export function putBack(
  scheduler: Scheduler,
  kept: InpaintState,
  latents: Float32Array,
  next: number | undefined,
): Float32Array {
  const before = next === undefined ? kept.latents : scheduler.addNoise(kept.latents, kept.noise, next);
  return latents.map((v, i) => (1 - kept.mask[i]!) * before[i]! + kept.mask[i]! * v);
}

/** The end of the schedule that is still to run. */
function laterTimesteps(scheduler: Scheduler, request: CheckedRequest): readonly number[] {
  const { strength, denoisingStart, numInferenceSteps: steps } = request;
  const all = scheduler.timesteps;
  const run = Math.floor(steps * strength);
  const byStrength = run < 1 ? all.length : (steps - run) * scheduler.order;
  const from = denoisingStart === undefined ? byStrength : firstBelow(scheduler, denoisingStart);
  if (from >= all.length) {
    const [field, value] = Object.entries(
      denoisingStart === undefined ? { strength } : { denoisingStart },
    )[0]!;
    const rule = `must leave a step to run, got ${value} of ${steps} steps.`;
    const remedy = field === "strength" ? "Raise it" : "Lower it";
    throw new InvalidRequest(field, value, `${rule} ${remedy}, or take more steps.`);
  }
  scheduler.setBeginIndex(from);
  return all.slice(from);
}

/** Where the schedule is below `denoisingStart`, never between the two calls of a second-order step. */
function firstBelow(scheduler: Scheduler, denoisingStart: number): number {
  const cutoff = cutoffTimestep(scheduler, denoisingStart);
  const left = scheduler.timesteps.filter((t) => t < cutoff).length;
  return scheduler.timesteps.length - (scheduler.order === 2 && left % 2 === 0 ? left + 1 : left);
}

/** The training timestep at a share of the schedule, counted from the noisiest; Python's `round`. */
export function cutoffTimestep({ config }: Scheduler, share: number): number {
  const trained = Number(config.numTrainTimesteps ?? 1000);
  return roundHalfEven(trained - share * trained);
}

/** The image's latents, drawn from the autoencoder's posterior, once per image of the batch. */
async function cleanLatents(
  image: ImageValues | Float32Array,
  { generators, batch }: CheckedRequest,
  shape: Shape,
  encode: EncodeImage,
  { perImage }: { perImage: boolean },
): Promise<Float32Array> {
  const [, channels, h, w] = shape;
  const size = channels * h * w;
  if (image instanceof Float32Array) return repeated(image, batch * size);
  const { mean, logvar, scalingFactor } = await encode(image);
  const sample = (generator: NoiseSource) => {
    const noise = logvar && generator.normal(size);
    const drawn = noise
      ? mean.map((m, i) => m + Math.fround(Math.exp(0.5 * bounded(logvar[i]!))) * noise[i]!)
      : mean;
    return drawn.map((v) => v * Math.fround(scalingFactor));
  };
  const list = "length" in generators ? generators : undefined;
  if (!list) return repeated(sample(generators as NoiseSource), batch * size);
  if (!perImage) return repeated(sample(list[0]!), batch * size);
  const latents = new Float32Array(batch * size);
  for (const [i, generator] of list.entries()) latents.set(sample(generator), i * size);
  return latents;
}

const bounded = (logvar: number) => Math.min(20, Math.max(-30, logvar));

function repeated(one: Float32Array, length: number): Float32Array {
  if (length % one.length !== 0) {
    throw new InvalidRequest(
      "image",
      one,
      `must hold latents of this size and batch (${length} numbers or a part of them), got ${one.length}.`,
    );
  }
  const all = new Float32Array(length);
  for (let at = 0; at < length; at += one.length) all.set(one, at);
  return all;
}

/** White is generated anew, black is kept: grey, at the image's size, cut at one half; then nearest at the latents'. */
async function readMask(
  source: ImageInput,
  [batch, channels, h, w]: Shape,
  { width, height }: { width: number; height: number },
): Promise<{ pixels: Float32Array; latent: Float32Array }> {
  const grey = toGrey(resizeImage(await read(source, "mask"), width, height));
  const pixels = Float32Array.from(grey, (v) => (v / 255 < 0.5 ? 0 : 1));
  const latent = new Float32Array(batch * channels * h * w);
  for (let i = 0; i < latent.length; i++) {
    const [y, x] = [Math.floor(i / w) % h, i % w];
    latent[i] = pixels[Math.floor((y * height) / h) * width + Math.floor((x * width) / w)]!;
  }
  return { pixels, latent };
}

/** The image with its masked part at 0, the middle grey. */
function masked({ data, ...size }: ImageValues, mask: Float32Array): ImageValues {
  return { ...size, data: data.map((v, i) => (mask[i % mask.length]! < 0.5 ? v : 0)) };
}
