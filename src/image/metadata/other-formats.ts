/** @file The metadata of formats that sharp alone opens, as AVIF and TIFF; in a browser `other-formats.browser.ts`. */

import sharp from "sharp";
import type { Blocks } from "./file-texts.js";

/** The blocks of EXIF and XMP in an image file; `refuse` makes the error for bytes that are none. */
export async function blocksOf(bytes: Uint8Array, refuse: (why: string) => Error): Promise<Blocks> {
  try {
    return await sharp(bytes, { limitInputPixels: false }).metadata();
  } catch (error) {
    throw refuse((error instanceof Error ? error.message.split("\n")[0] : String(error)) ?? "");
  }
}
