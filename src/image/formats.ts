/** @file The image formats: what files and options of reading and writing them are, for every codec. */

import { InvalidRequest, listed } from "../errors.js";
import { extname } from "../files/path.js";
import type { ContentSigner, SignedFacts } from "./content-credentials.js";
import type { MetadataTexts } from "./metadata/metadata.js";
import type { Rgb, RgbImage } from "./pixels.js";

/** An image as a file's path, a file's bytes, or pixels. */
export type ImageInput = string | Uint8Array | RgbImage;

export type ImageFormat = "png" | "jpeg" | "webp";

/** An image read from a file; `alpha` is [height, width], present where the file had one. */
export type Decoded = { image: RgbImage; alpha?: Uint8Array; format: string };

const formats: Readonly<Record<string, ImageFormat>> = {
  ".png": "png",
  ".jpg": "jpeg",
  ".jpeg": "jpeg",
  ".webp": "webp",
};

/** `quality` is 1..100 and does not touch PNG; `texts` say how the image was made; `sign` signs the file (PNG, JPEG). */
export type EncodeOptions = {
  quality?: number | undefined;
  texts?: MetadataTexts | undefined;
  sign?: (SignedFacts & { signer: ContentSigner }) | undefined;
};

/** `field` is what errors call the image. */
export type DecodeOptions = { background?: Rgb; maxPixels?: number; field?: string };

/** InvalidRequest for what is no quality. */
export function checkQuality(quality: number): void {
  if (!Number.isInteger(quality) || quality < 1 || quality > 100) {
    throw new InvalidRequest("quality", quality, `must be a whole number from 1 to 100, got ${quality}.`);
  }
}

/** The format of a path's ending; InvalidRequest about `field` for an unknown one. */
export function formatOf(
  path: string,
  { field = "path", remedy = "Change its ending." }: { field?: string; remedy?: string } = {},
): ImageFormat {
  const ending = extname(path).toLowerCase();
  const format = Object.hasOwn(formats, ending) ? formats[ending] : undefined;
  if (format) return format;
  const known = listed(Object.keys(formats));
  throw new InvalidRequest(field, path, `must end in one of ${known}, got "${path}". ${remedy}`);
}
