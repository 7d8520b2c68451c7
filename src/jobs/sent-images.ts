/**
 * @file Images that clients send: decoded from base64, their kind and size read from the header before a pixel is
 * decoded, then decoded once. Only PNG, JPEG and WebP are let near a decoder. A server calls these by image-threads.ts.
 */

import { InvalidRequest } from "../errors.js";
import { fromBase64 } from "../files/base64.js";
import { encodeImage } from "../image/codec.js";
import { imageHeader, isOpaque } from "../image/image-header.js";
import { decodeMask, type MaskOptions } from "../image/mask.js";
import { pngFrames, withoutPngTexts } from "../image/metadata/png-chunks.js";
import { mostInputPixels } from "./limits.js";

/** An image that was found whole; `width` and `height` are those of the upright image. */
export type Source = { bytes: Uint8Array; width: number; height: number };

export type SentImage = Source & { isOpaque: boolean };

/** From base64 or a data: URL. `field` is how errors call it. */
export async function sourceFromText(field: string, text: string): Promise<SentImage> {
  const encoded = text.replace(/^data:image\/[\w.+-]{1,40};base64,/, "");
  if (/^[a-z][a-z0-9+.-]*:/i.test(encoded.slice(0, 40))) {
    const rule =
      "must be base64 or a data: URL of base64, got another address. No address is fetched: send the file.";
    throw new InvalidRequest(field, encoded.slice(0, 40), rule);
  }
  // One character at a time: a pattern for the whole could be made to take long.
  if (/[^A-Za-z0-9+/_=\s-]/.test(encoded)) {
    const rule = "must be base64, got other characters. Encode the file's bytes.";
    throw new InvalidRequest(field, encoded.slice(0, 40), rule);
  }
  return sourceFromBytes(field, fromBase64(encoded));
}

export async function sourceFromBytes(field: string, bytes: Uint8Array): Promise<SentImage> {
  const kind = kindOfImage(bytes);
  if (kind === undefined) {
    const rule = `must be a PNG, JPEG or WebP file, got ${bytes.length} bytes of something else.`;
    throw new InvalidRequest(field, bytes.length, `${rule} Convert it first.`);
  }
  const pixels = kind === "PNG" ? withoutPngTexts(bytes) : bytes;
  const read = <T>(what: (bytes: Uint8Array, mostPixels: number) => Promise<T>) =>
    decoded(field, kind, bytes, () => what(pixels, mostInputPixels));
  const { width, height, upright, frames: pages } = await read(imageHeader);
  if (width * height > mostInputPixels) {
    const rule = `must have at most ${mostInputPixels} pixels, got ${width} x ${height}. Make it smaller first.`;
    throw new InvalidRequest(field, width * height, rule);
  }
  const frames = kind === "PNG" ? pngFrames(bytes) : pages;
  if (frames !== 1) throw new InvalidRequest(field, frames, `must be one image, got ${frames} frames.`);
  return { bytes, ...upright, isOpaque: await read(isOpaque) };
}

/** The same mask as the pipeline reads masks, where another API means something else by its file. */
export async function maskSource(
  { width, height, bytes: given }: Source,
  meaning: MaskOptions,
): Promise<Source> {
  const bytes = await encodeImage(await decodeMask(given, meaning), "png");
  return { bytes, width, height };
}

async function decoded<T>(
  field: string,
  kind: string,
  bytes: Uint8Array,
  read: () => Promise<T>,
): Promise<T> {
  try {
    return await read();
  } catch (error) {
    const why = error instanceof Error ? error.message.split("\n")[0] : String(error);
    const tooLarge = /pixel limit/i.test(why ?? "");
    const rule = tooLarge
      ? `must have at most ${mostInputPixels} pixels, got more. Make it smaller first.`
      : `must be a whole ${kind} file, got one that cannot be decoded: ${why}. Save it again.`;
    throw new InvalidRequest(field, bytes.length, rule);
  }
}

/** By the first bytes, which also choose sharp's decoder. */
function kindOfImage(bytes: Uint8Array): "PNG" | "JPEG" | "WebP" | undefined {
  const latin = (from: number, to: number) => String.fromCharCode(...bytes.subarray(from, to));
  if (latin(0, 8) === "\x89PNG\r\n\x1a\n") return "PNG";
  if (latin(0, 3) === "\xff\xd8\xff") return "JPEG";
  if (latin(0, 4) === "RIFF" && latin(8, 12) === "WEBP") return "WebP";
  return undefined;
}
