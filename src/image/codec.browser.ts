/** @file Reads and writes image files by the browser's own decoders and its canvas. */

import { InvalidRequest } from "../errors.js";
import { readFile } from "../files/file-system.js";
import {
  checkQuality,
  type Decoded,
  type DecodeOptions,
  type EncodeOptions,
  type ImageFormat,
} from "./formats.js";
import { checkRoom, pngChunks } from "./metadata/metadata.js";
import { withPngTexts } from "./metadata/png-texts.js";
import { overBackground, type RgbImage } from "./pixels.js";

export * from "./formats.js";

/** An image as the bytes of a file. A canvas writes no EXIF, so that an image with texts must be a PNG. */
export async function encodeImage(
  { width, height, data }: RgbImage,
  format: ImageFormat,
  { quality = 95, texts, sign }: EncodeOptions = {},
): Promise<Uint8Array> {
  checkQuality(quality);
  if (sign) {
    const rule = "must be left out in a browser, which signs no images, got a signer";
    throw new InvalidRequest("signer", undefined, `${rule}. Sign with koala generate or koala serve.`);
  }
  if (texts && format !== "png") {
    const rule = `must be png in a browser, which writes no metadata into other files, got ${format}`;
    throw new InvalidRequest("format", format, `${rule}. Save as PNG, or leave the metadata out.`);
  }
  if (texts) checkRoom(format, texts);
  const canvas = new OffscreenCanvas(width, height);
  const pixels = new ImageData(width, height);
  for (let i = 0; i < width * height; i++) {
    for (let c = 0; c < 3; c++) pixels.data[4 * i + c] = data[3 * i + c]!;
    pixels.data[4 * i + 3] = 255;
  }
  canvas.getContext("2d")!.putImageData(pixels, 0, 0);
  const blob = await canvas.convertToBlob({ type: `image/${format}`, quality: quality / 100 });
  if (blob.type !== `image/${format}`)
    throw new InvalidRequest(
      "format",
      format,
      `must be one that this browser writes, got ${format}. Use png.`,
    );
  const file = new Uint8Array(await blob.arrayBuffer());
  return texts ? withPngTexts(file, pngChunks(texts)) : file;
}

/** A browser has no folder to save into. */
export async function saveImage(path: string): Promise<void> {
  const rule = `must not be given in a browser, got ${path}. Use toBuffer and offer the bytes as a download`;
  throw new InvalidRequest("path", path, `${rule}.`);
}

/** Reads an image of any format that the browser knows, turned upright, laid over `background` where it is transparent. */
export async function decodeImage(
  source: Uint8Array | string,
  { background = [255, 255, 255], maxPixels = 2 ** 26, field = "image" }: DecodeOptions = {},
): Promise<Decoded> {
  const bytes = typeof source === "string" ? await readFile(source) : source;
  const bitmap = await opened(bytes, field);
  const { width, height } = bitmap;
  if (width * height > maxPixels) {
    const rule = `must have at most ${maxPixels} pixels, got ${width} x ${height}. Make it smaller first.`;
    throw new InvalidRequest(field, width * height, rule);
  }
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext("2d", { willReadFrequently: true })!;
  context.drawImage(bitmap, 0, 0);
  const { data: rgba } = context.getImageData(0, 0, width, height);
  const { data, alpha } = overBackground(new Uint8Array(rgba.buffer), background);
  const image = { width, height, data };
  return alpha.every((a) => a === 255) ? { image, format: "image" } : { image, alpha, format: "image" };
}

async function opened(bytes: Uint8Array, field: string): Promise<ImageBitmap> {
  try {
    const options = { imageOrientation: "from-image", premultiplyAlpha: "none" } as const;
    return await createImageBitmap(new Blob([Uint8Array.from(bytes)]), options);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    const rule = `must be an image that this browser reads, got ${bytes.length} bytes: ${why}`;
    throw new InvalidRequest(field, `${bytes.length} bytes`, `${rule} Save the image again.`);
  }
}
