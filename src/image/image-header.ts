/** @file What an image file is, asked of sharp before its pixels are used: size, frames, and whether it is opaque. */

import sharp from "sharp";

/** `width` and `height` as stored; `upright` as they are once the image is turned by its EXIF orientation. */
export type ImageHeader = {
  width: number;
  height: number;
  upright: { width: number; height: number };
  frames: number;
};

const opened = (bytes: Uint8Array, mostPixels: number) =>
  sharp(bytes, { failOn: "error", limitInputPixels: mostPixels, sequentialRead: true });

/** Decodes no pixel. Throws what sharp does, about the limit of pixels too. */
export async function imageHeader(bytes: Uint8Array, mostPixels: number): Promise<ImageHeader> {
  const { width, height, autoOrient, pages = 1 } = await opened(bytes, mostPixels).metadata();
  return { width, height, upright: autoOrient, frames: pages };
}

/** Decodes the whole image, so that a broken file throws. */
export async function isOpaque(bytes: Uint8Array, mostPixels: number): Promise<boolean> {
  return (await opened(bytes, mostPixels).stats()).isOpaque;
}
