/** @file The chunks of a PNG file: PNG (third edition) 5.3. Runs in browsers too: must not import Node. */

import { joined } from "./inflate.js";

/** `data` begins after the type; `end` is behind the checksum, which is not checked. */
type PngChunk = { type: string; start: number; data: number; end: number };

const signatureLength = 8;
const texts: readonly string[] = ["tEXt", "zTXt", "iTXt"];

/** The chunks of a file that begins with PNG's signature, as far as they are whole. */
function* pngChunks(png: Uint8Array): Generator<PngChunk, void> {
  const view = new DataView(png.buffer, png.byteOffset, png.byteLength);
  for (let start = signatureLength; start + 12 <= png.length; ) {
    const data = start + 8;
    const end = data + view.getUint32(start) + 4;
    if (end > png.length) return;
    yield { type: String.fromCharCode(...png.subarray(start + 4, data)), start, data, end };
    start = end;
  }
}

/** How many frames an animated PNG says it has, which it must before its pixels; 1 for any other. */
export function pngFrames(png: Uint8Array): number {
  for (const { type, data, end } of pngChunks(png)) {
    if (type === "IDAT") break;
    if (type === "acTL" && end - data >= 8)
      return new DataView(png.buffer, png.byteOffset + data).getUint32(0);
  }
  return 1;
}

/**
 * The file without its texts, which decoders of pixels inflate and keep all the same: a few hundred kilobytes of them
 * can hold gigabytes. What cannot be taken apart stays for the decoder to refuse.
 */
export function withoutPngTexts(png: Uint8Array): Uint8Array {
  const kept: Uint8Array[] = [];
  let from = 0;
  for (const { type, start, end } of pngChunks(png)) {
    if (!texts.includes(type)) continue;
    kept.push(png.subarray(from, start));
    from = end;
  }
  if (kept.length === 0) return png;
  kept.push(png.subarray(from));
  return joined(kept);
}
