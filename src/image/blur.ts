/** @file Blurs an image beyond recognition: a few averaged colors are left of it. Browser-safe. */

import type { RgbImage } from "./pixels.js";
import { resizeImage } from "./resize.js";

/** What is left of the longer side, in pixels. */
const left = 8;

/** The image reduced to 8 colors along its longer side and enlarged again. What was in it cannot be computed back. */
export function blurred(image: RgbImage): RgbImage {
  const { width, height } = image;
  const share = left / Math.max(width, height);
  const small = resizeImage(image, atLeastOne(width * share), atLeastOne(height * share), "bilinear");
  return resizeImage(small, width, height, "bicubic");
}

const atLeastOne = (pixels: number): number => Math.max(1, Math.round(pixels));
