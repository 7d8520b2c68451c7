/**
 * @file Text chunks of PNG files: PNG (third edition) 11.3.3. sharp writes none but XMP, and reads Latin-1 as UTF-8.
 *
 * Ours to write because no kept package has iTXt: png-chunks-* and meta-png know tEXt only.
 */

import { inflateSync } from "node:zlib";

const signature = [137, 80, 78, 71, 13, 10, 26, 10];
const headerEnd = 8 + 25; // the signature and IHDR, which must come first
export const maxTextBytes = 2 ** 20;
const maxTexts = 256;

export const isPng = (bytes: Uint8Array): boolean => signature.every((byte, i) => bytes[i] === byte);

/** The file with texts by keyword before its pixels: tEXt where Latin-1 holds the text, else iTXt. */
export function withPngTexts(png: Uint8Array, texts: Readonly<Record<string, string>>): Uint8Array {
  const chunks = Object.entries(texts).map(([keyword, text]) => textChunk(keyword, text));
  return Buffer.concat([png.subarray(0, headerEnd), ...chunks, png.subarray(headerEnd)]);
}

/** Texts by keyword, the first of each; chunks that are broken, too long or too many are passed over. */
export function readPngTexts(png: Uint8Array): Map<string, string> {
  const texts = new Map<string, string>();
  const bytes = Buffer.from(png.buffer, png.byteOffset, png.byteLength);
  for (let at = signature.length; at + 12 <= bytes.length && texts.size < maxTexts; ) {
    const length = bytes.readUInt32BE(at);
    const end = at + 8 + length;
    if (end + 4 > bytes.length) break;
    const type = bytes.toString("latin1", at + 4, at + 8);
    if (/^[tzi](EXt|TXt)$/.test(type) && length <= maxTextBytes) {
      const sound = crc32(bytes.subarray(at + 4, end)) === bytes.readUInt32BE(end);
      const found = sound ? parseText(type, bytes.subarray(at + 8, end)) : undefined;
      if (found && !texts.has(found.keyword)) texts.set(found.keyword, found.text);
    }
    at = end + 4;
  }
  return texts;
}

function textChunk(keyword: string, given: string): Buffer {
  const text = given.replaceAll("\0", "");
  // biome-ignore lint/suspicious/noControlCharactersInRegex: Latin-1 is exactly this range
  const latin = /^[\x00-\xff]*$/.test(text);
  // iTXt: keyword, NUL, uncompressed, method 0, no language tag, no translated keyword.
  const data = latin
    ? Buffer.from(`${keyword}\0${text}`, "latin1")
    : Buffer.concat([Buffer.from(`${keyword}\0\0\0\0\0`, "latin1"), Buffer.from(text, "utf8")]);
  const body = Buffer.concat([Buffer.from(latin ? "tEXt" : "iTXt", "latin1"), data]);
  const chunk = Buffer.alloc(body.length + 8);
  chunk.writeUInt32BE(data.length, 0);
  body.copy(chunk, 4);
  chunk.writeUInt32BE(crc32(body), body.length + 4);
  return chunk;
}

function parseText(type: string, data: Buffer): { keyword: string; text: string } | undefined {
  const split = data.indexOf(0);
  if (split < 1 || split > 79) return undefined;
  const keyword = data.toString("latin1", 0, split);
  const rest = data.subarray(split + 1);
  if (type === "tEXt") return { keyword, text: rest.toString("latin1") };
  if (type === "zTXt") {
    const text = inflated(rest.subarray(1))?.toString("latin1");
    return text === undefined ? undefined : { keyword, text };
  }
  if (type !== "iTXt") return undefined;
  const language = rest.indexOf(0, 2);
  const translated = language < 0 ? -1 : rest.indexOf(0, language + 1);
  if (translated < 0) return undefined;
  const body = rest.subarray(translated + 1);
  const text = (rest[0] === 1 ? inflated(body) : body)?.toString("utf8");
  return text === undefined ? undefined : { keyword, text };
}

function inflated(bytes: Buffer): Buffer | undefined {
  try {
    return inflateSync(bytes, { maxOutputLength: maxTextBytes });
  } catch {
    return undefined;
  }
}

/** ISO 3309, as PNG's annex D has it; `zlib.crc32` needs a later Node than ours. */
function crc32(bytes: Uint8Array): number {
  let crc = ~0;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (0xedb88320 & -(crc & 1));
  }
  return ~crc >>> 0;
}
