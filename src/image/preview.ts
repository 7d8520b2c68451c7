/** @file Small images from latents by a linear fit, one pixel per latent pixel, without the decoder. Browser-safe. */
import { ShapeError } from "../errors.js";
import { type Rgb, type RgbImage, requireFinite, toRgbImage } from "./pixels.js";

/** A linear fit of RGB in -1..1 to scaled latents: a row of factors per latent channel, and a constant. */
export type LatentRgb = { factors: readonly Rgb[]; bias: Rgb };

/**
 * InvokeAI (Apache-2.0), invokeai/app/util/step_callback.py; SDXL by StAlKeR7779, SD 1 and 2 (one latent space) by
 * torridgristle.
 */
export const knownLatentRgb: Readonly<Record<"sdxl" | "sd", LatentRgb>> = {
  sdxl: {
    factors: [
      [0.3816, 0.493, 0.532],
      [-0.3753, 0.1631, 0.1739],
      [0.177, 0.3588, -0.2048],
      [-0.435, -0.2644, -0.4289],
    ],
    bias: [0, 0, 0],
  },
  sd: {
    factors: [
      [0.3444, 0.1385, 0.067],
      [0.1247, 0.4027, 0.1494],
      [-0.3192, 0.2513, 0.2103],
      [-0.1307, -0.1874, -0.7445],
    ],
    bias: [0, 0, 0],
  },
};

/** The mean of all channels, which shows shapes and claims no colour: for latents without a fit. */
export function greyLatentRgb(channels: number): LatentRgb {
  const share = 1 / channels;
  return { factors: Array.from({ length: channels }, () => [share, share, share] as const), bias: [0, 0, 0] };
}

/** One image's latents [C, h, w], as the U-Net sees them at the end (scaled) -> image of w x h pixels. */
export function previewLatents(
  latents: Float32Array,
  { h, w, latentRgb }: { h: number; w: number; latentRgb: LatentRgb },
): RgbImage {
  const pixels = h * w;
  const { factors, bias } = latentRgb;
  if (latents.length !== factors.length * pixels) {
    throw new ShapeError("preview", `must be [${factors.length}, ${h}, ${w}], got ${latents.length} values`);
  }
  requireFinite(latents, "preview");
  const image = new Float32Array(3 * pixels);
  for (const [colour, constant] of bias.entries())
    image.fill(constant, colour * pixels, (colour + 1) * pixels);
  for (const [channel, row] of factors.entries()) {
    for (const [colour, factor] of row.entries()) {
      for (let i = 0; i < pixels; i++) image[colour * pixels + i]! += factor * latents[channel * pixels + i]!;
    }
  }
  return toRgbImage(image, w, h);
}

/** Latents [C, h, w] with blocks of `by` x `by` averaged; what is over at the right and below is left out. */
export function shrinkLatents(
  latents: Float32Array,
  { channels, h, w, by }: { channels: number; h: number; w: number; by: number },
): { latents: Float32Array; h: number; w: number } {
  const [down, across] = [Math.floor(h / by), Math.floor(w / by)];
  const small = new Float32Array(channels * down * across);
  for (let c = 0; c < channels; c++) {
    for (let y = 0; y < down * by; y++) {
      for (let x = 0; x < across * by; x++) {
        const at = (c * down + Math.floor(y / by)) * across + Math.floor(x / by);
        small[at]! += latents[(c * h + y) * w + x]! / (by * by);
      }
    }
  }
  return { latents: small, h: down, w: across };
}
