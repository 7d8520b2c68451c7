/** @file Resizing, mirroring and cropping of training images, with SDXL's size and crop conditioning. */

import type { ImageSize, RgbImage } from "../../image/pixels.js";
import { resizeImage } from "../../image/resize.js";
import { below } from "./seeded.js";

/** Original height and width, crop's top and left, target height and width. */
export type TimeIds = readonly [number, number, number, number, number, number];

/** `pixels` is [3, height, width] in -1..1. */
export type TransformedImage = ImageSize & { readonly pixels: Float32Array; readonly timeIds: TimeIds };

export type TransformOptions = {
  /** Which part of an image that is larger than the target is kept. Default center. */
  readonly crop?: "center" | "random";
  /** Mirrors half of the images at random. Default false. */
  readonly flip?: boolean;
};

/**
 * Resizes until the target is just covered, mirrors, crops. Filter (its default, Pillow's Lanczos), order, rounding and
 * time ids are those of Diffusers' `train_text_to_image_sdxl.py`: the original size is the one before resizing, the
 * crop's corner is counted in the resized and already mirrored image. Draws in order: mirror, top, left.
 */
export function transformImage(
  image: RgbImage,
  target: ImageSize,
  random: () => number,
  { crop = "center", flip = false }: TransformOptions = {},
): TransformedImage {
  const cover = coveringSize(image, target);
  const resized = resizeImage(image, cover.width, cover.height);
  const mirrored = flip && random() < 0.5;
  const spare = { height: resized.height - target.height, width: resized.width - target.width };
  const top = crop === "random" ? below(spare.height + 1, random) : halfToEven(spare.height);
  const left = crop === "random" ? below(spare.width + 1, random) : halfToEven(spare.width);
  return {
    height: target.height,
    width: target.width,
    pixels: cutOut(resized, target, { top, left, mirrored }),
    timeIds: [image.height, image.width, top, left, target.height, target.width],
  };
}

/** The smallest size of the image's shape that covers the target; for a square, torchvision's `Resize`. */
export function coveringSize(image: ImageSize, target: ImageSize): ImageSize {
  // torchvision truncates the longer side instead of rounding it.
  return target.height * image.width >= target.width * image.height
    ? { height: target.height, width: Math.floor((target.height * image.width) / image.height) }
    : { height: Math.floor((target.width * image.height) / image.width), width: target.width };
}

/** Half of `spare`, .5 going to the even neighbour: Python's `round`, which centers the script's crop. */
function halfToEven(spare: number): number {
  const low = Math.floor(spare / 2);
  return spare % 2 === 0 || low % 2 === 0 ? low : low + 1;
}

type Cut = { readonly top: number; readonly left: number; readonly mirrored: boolean };

function cutOut(image: RgbImage, target: ImageSize, { top, left, mirrored }: Cut): Float32Array {
  const pixels = new Float32Array(3 * target.height * target.width);
  // In float32 as ToTensor and Normalize(0.5, 0.5) compute it, so that equal bytes give equal bits.
  const values = Float32Array.from({ length: 256 }, (_, byte) => (Math.fround(byte / 255) - 0.5) / 0.5);
  let at = 0;
  for (let channel = 0; channel < 3; channel++) {
    for (let y = 0; y < target.height; y++) {
      for (let x = 0; x < target.width; x++) {
        const column = mirrored ? image.width - 1 - left - x : left + x;
        pixels[at++] = values[image.data[((top + y) * image.width + column) * 3 + channel]!]!;
      }
    }
  }
  return pixels;
}
