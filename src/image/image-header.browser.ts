/** @file What an image file is, asked of the browser's decoder: size, frames, and whether it is opaque. */

import { decodeImage } from "./codec.browser.js";
import type { ImageHeader } from "./image-header.js";

export async function imageHeader(bytes: Uint8Array, _mostPixels: number): Promise<ImageHeader> {
  const bitmap = await createImageBitmap(new Blob([Uint8Array.from(bytes)]), {
    imageOrientation: "from-image",
  });
  const { width, height } = bitmap;
  bitmap.close();
  return { width, height, upright: { width, height }, frames: webpFrames(bytes) };
}

/** Decodes the whole image, so that a broken file throws. */
export async function isOpaque(bytes: Uint8Array, mostPixels: number): Promise<boolean> {
  return (await decodeImage(bytes, { maxPixels: mostPixels })).alpha === undefined;
}

/** The frames of an animated WebP file, each a chunk "ANMF" (RFC 9649, section 2.7); 1 for any other file. */
function webpFrames(bytes: Uint8Array): number {
  const latin = (at: number) => String.fromCharCode(...bytes.subarray(at, at + 4));
  if (latin(0) !== "RIFF" || latin(8) !== "WEBP") return 1;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let frames = 0;
  for (let at = 12; at + 8 <= bytes.length; ) {
    if (latin(at) === "ANMF") frames++;
    const length = view.getUint32(at + 4, true);
    at += 8 + length + (length % 2);
  }
  return Math.max(1, frames);
}
