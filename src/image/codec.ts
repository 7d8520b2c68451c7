/**
 * @file Reads and writes image files by sharp; in a browser `codec.browser.ts` takes this module's place. Independent of
 * tensors and models.
 */

import sharp, { type Sharp } from "sharp";
import { InvalidRequest } from "../errors.js";
import { reading, systemCode, writeWhole } from "../files/file-system.js";
import { withCredentials } from "./content-credentials.js";
import {
  checkQuality,
  type Decoded,
  type DecodeOptions,
  type EncodeOptions,
  formatOf,
  type ImageFormat,
} from "./formats.js";
import { encodeWithTexts } from "./metadata/encode.js";
import { withoutPngTexts } from "./metadata/png-chunks.js";
import { isPng } from "./metadata/png-texts.js";
import { overBackground, type RgbImage } from "./pixels.js";

export * from "./formats.js";

/** An image as the bytes of a file: the same ones each time. */
export async function encodeImage(
  { width, height, data }: RgbImage,
  format: ImageFormat,
  { quality = 95, texts, sign }: EncodeOptions = {},
): Promise<Uint8Array> {
  checkQuality(quality);
  const image = withFormat(sharp(data, { raw: { width, height, channels: 3 } }), format, quality);
  const file = new Uint8Array(texts ? await encodeWithTexts(image, format, texts) : await image.toBuffer());
  return sign ? withCredentials(file, format, sign.signer, sign) : file;
}

/** Writes an image in the format of the path's ending, making its folder; InvalidRequest, FileError. */
export async function saveImage(path: string, image: RgbImage, options: EncodeOptions = {}): Promise<void> {
  const format = formatOf(path);
  const bytes = await encodeImage(image, format, options);
  await writeWhole(path, bytes);
}

/**
 * Reads an image of any format sharp knows: turned upright by its EXIF orientation, in 8-bit sRGB, laid over
 * `background` where it is transparent. InvalidRequest for a broken file or more than `maxPixels`.
 */
export async function decodeImage(
  source: Uint8Array | string,
  { background = [255, 255, 255], maxPixels = 2 ** 26, field = "image" }: DecodeOptions = {},
): Promise<Decoded> {
  // The limit is checked below, on the header, with a message of our own.
  const pixels = source instanceof Uint8Array && isPng(source) ? withoutPngTexts(source) : source;
  const opened = () => sharp(pixels, { failOn: "error", limitInputPixels: false });
  const { width, height, format } = await readable(source, field, () => opened().metadata());
  if (width * height > maxPixels) {
    const rule = `must have at most ${maxPixels} pixels, got ${width} x ${height}. Make it smaller first.`;
    throw new InvalidRequest(field, width * height, rule);
  }
  const { data: bytes, info } = await readable(source, field, () => {
    const upright = opened().autoOrient().toColourspace("srgb");
    return upright.raw({ depth: "uchar" }).toBuffer({ resolveWithObject: true });
  });
  const decoded = new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.length);
  const size = { width: info.width, height: info.height };
  if (info.channels === 3) return { image: { ...size, data: decoded }, format };
  const { data, alpha } = overBackground(decoded, background);
  return { image: { ...size, data }, alpha, format };
}

function withFormat(image: Sharp, format: ImageFormat, quality: number): Sharp {
  switch (format) {
    case "png":
      return image.png();
    case "jpeg":
      // Halved chroma smears the saturated edges that generated images are full of.
      return image.jpeg({ quality, chromaSubsampling: "4:4:4" });
    case "webp":
      return image.webp({ quality });
    default:
      return format satisfies never;
  }
}

async function readable<T>(source: Uint8Array | string, field: string, read: () => Promise<T>): Promise<T> {
  try {
    return await read();
  } catch (error) {
    if (typeof source === "string") await checkOpens(source);
    const got = typeof source === "string" ? source : `${source.length} bytes`;
    const why = error instanceof Error ? error.message.split("\n")[0] : String(error);
    const rule = `must be an image that can be read (PNG, JPEG, WebP, GIF, TIFF, AVIF), got ${got}`;
    throw new InvalidRequest(field, got, `${rule}: ${why}. Check the path, or save the image again.`);
  }
}

/** Of a file that it may not open, libvips says that it does not know the format. */
async function checkOpens(file: string): Promise<void> {
  await reading(file, file, async () => {}).catch((error: unknown) => {
    if (systemCode(error) !== "ENOENT") throw error;
  });
}
