/**
 * @file Text chunks of PNG files: PNG (third edition) 11.3.3. Runs in browsers too: must not import Node.
 *
 * Own code because sharp writes none but XMP and reads Latin-1 as UTF-8, and because no maintained package has iTXt:
 * png-chunks-* and meta-png have tEXt only.
 */

import { inflated, joined } from "./inflate.js";

const signature = [137, 80, 78, 71, 13, 10, 26, 10];
const headerEnd = 8 + 25; // the signature and IHDR, which must come first
/** Of one text, as a file holds it and inflated. */
export const maxTextBytes = 2 ** 20;
/** Of all texts of a file together, likewise. */
export const maxAllTextBytes = 4 * maxTextBytes;
const maxChunks = 2 ** 16;

/** Undoes zlib; undefined for what is broken or longer than `most` bytes. */
export type Inflate = (bytes: Uint8Array, most: number) => Promise<Uint8Array | undefined>;

export const isPng = (bytes: Uint8Array): boolean => signature.every((byte, i) => bytes[i] === byte);

/** The file with texts by keyword before its pixels: tEXt where Latin-1 holds the text, else iTXt. */
export function withPngTexts(png: Uint8Array, texts: Readonly<Record<string, string>>): Uint8Array {
  const chunks = Object.entries(texts).map(([keyword, text]) => textChunk(keyword, text));
  return joined([png.subarray(0, headerEnd), ...chunks, png.subarray(headerEnd)]);
}

/**
 * Texts by keyword, the first of each that is wanted. Chunks that are broken or too long are passed over; of any
 * other keyword nothing but its name is read, and `maxAllTextBytes` bound the work, whatever the file says.
 */
export async function pngTexts(
  png: Uint8Array,
  wanted: ReadonlySet<string>,
  inflate: Inflate = inflated,
): Promise<Map<string, string>> {
  const texts = new Map<string, string>();
  let left = maxAllTextBytes;
  for (const chunk of chunksOf(png)) {
    const { type, data } = chunk;
    if (!/^[tzi](EXt|TXt)$/.test(type) || data.length > Math.min(maxTextBytes, left)) continue;
    const split = data.subarray(0, 80).indexOf(0);
    if (split < 1) continue;
    const keyword = fromLatin(data.subarray(0, split));
    if (!wanted.has(keyword) || texts.has(keyword)) continue;
    left -= data.length;
    const body = isSound(png, chunk) ? bodyOf(type, data.subarray(split + 1)) : undefined;
    if (!body) continue;
    const most = Math.min(maxTextBytes, left);
    const bytes = body.compressed ? await inflate(body.bytes, most) : body.bytes;
    if (body.compressed) left -= bytes?.length ?? most;
    if (bytes) texts.set(keyword, body.decode(bytes));
  }
  return texts;
}

/** The EXIF that a PNG may hold since its third edition; undefined where there is none. */
export function pngExif(png: Uint8Array): Uint8Array | undefined {
  for (const { type, data } of chunksOf(png)) if (type === "eXIf") return data.subarray(0, maxTextBytes);
  return undefined;
}

type Chunk = { type: string; start: number; data: Uint8Array };

/** Chunks whole within the file. */
function* chunksOf(png: Uint8Array): Generator<Chunk> {
  const view = new DataView(png.buffer, png.byteOffset, png.byteLength);
  let start = signature.length;
  for (let count = 0; count < maxChunks && start + 12 <= png.length; count++) {
    const end = start + 8 + view.getUint32(start);
    if (end + 4 > png.length) return;
    const type = String.fromCharCode(...png.subarray(start + 4, start + 8));
    yield { type, start, data: png.subarray(start + 8, end) };
    start = end + 4;
  }
}

function isSound(png: Uint8Array, { start, data }: Chunk): boolean {
  const end = start + 8 + data.length;
  const stored = new DataView(png.buffer, png.byteOffset + end, 4).getUint32(0);
  return crc32(png.subarray(start + 4, end)) === stored;
}

function textChunk(keyword: string, given: string): Uint8Array {
  const text = given.replaceAll("\0", "");
  // biome-ignore lint/suspicious/noControlCharactersInRegex: Latin-1 is exactly this range
  const plain = /^[\x00-\xff]*$/.test(text);
  // iTXt: keyword, NUL, uncompressed, method 0, no language tag, no translated keyword.
  const data = plain
    ? toLatin(`${keyword}\0${text}`)
    : joined([toLatin(`${keyword}\0\0\0\0\0`), new TextEncoder().encode(text)]);
  const body = joined([toLatin(plain ? "tEXt" : "iTXt"), data]);
  return joined([bigEndian(data.length), body, bigEndian(crc32(body))]);
}

type Body = { bytes: Uint8Array; compressed: boolean; decode: (bytes: Uint8Array) => string };

/** What comes after the keyword and its NUL. */
function bodyOf(type: string, rest: Uint8Array): Body | undefined {
  if (type === "tEXt") return { bytes: rest, compressed: false, decode: fromLatin };
  if (type === "zTXt") return { bytes: rest.subarray(1), compressed: true, decode: fromLatin };
  if (type !== "iTXt") return undefined;
  const language = rest.indexOf(0, 2);
  const translated = language < 0 ? -1 : rest.indexOf(0, language + 1);
  if (translated < 0) return undefined;
  return { bytes: rest.subarray(translated + 1), compressed: rest[0] === 1, decode: fromUtf8 };
}

const fromUtf8 = (bytes: Uint8Array): string => new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes);

/** TextDecoder's "latin1" is Windows-1252, which is another thing. */
export function fromLatin(bytes: Uint8Array): string {
  let text = "";
  for (let at = 0; at < bytes.length; at += 8192)
    text += String.fromCharCode(...bytes.subarray(at, at + 8192));
  return text;
}

const toLatin = (text: string): Uint8Array => Uint8Array.from(text, (letter) => letter.charCodeAt(0));

function bigEndian(value: number): Uint8Array {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setUint32(0, value);
  return bytes;
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
