/**
 * @file Text chunks of PNG files: PNG (third edition) 11.3.3. Runs in browsers too, so it must not know Node.
 *
 * Ours to write because sharp writes none but XMP and reads Latin-1 as UTF-8, and because no kept package has iTXt:
 * png-chunks-* and meta-png know tEXt only.
 */

const signature = [137, 80, 78, 71, 13, 10, 26, 10];
const headerEnd = 8 + 25; // the signature and IHDR, which must come first
export const maxTextBytes = 2 ** 20;
const maxTexts = 256;

/** Undoes zlib; undefined for what is broken or longer than `maxTextBytes`. */
export type Inflate = (bytes: Uint8Array) => Uint8Array | undefined;

export const isPng = (bytes: Uint8Array): boolean => signature.every((byte, i) => bytes[i] === byte);

/** The file with texts by keyword before its pixels: tEXt where Latin-1 holds the text, else iTXt. */
export function withPngTexts(png: Uint8Array, texts: Readonly<Record<string, string>>): Uint8Array {
  const chunks = Object.entries(texts).map(([keyword, text]) => textChunk(keyword, text));
  return joined([png.subarray(0, headerEnd), ...chunks, png.subarray(headerEnd)]);
}

/**
 * Texts by keyword, the first of each; chunks that are broken, too long or too many are passed over, and so are
 * compressed ones without `inflate`.
 */
export function pngTexts(png: Uint8Array, inflate: Inflate = () => undefined): Map<string, string> {
  const texts = new Map<string, string>();
  const view = new DataView(png.buffer, png.byteOffset, png.byteLength);
  for (let at = signature.length; at + 12 <= png.length && texts.size < maxTexts; ) {
    const length = view.getUint32(at);
    const end = at + 8 + length;
    if (end + 4 > png.length) break;
    const type = fromLatin(png.subarray(at + 4, at + 8));
    if (/^[tzi](EXt|TXt)$/.test(type) && length <= maxTextBytes) {
      const sound = crc32(png.subarray(at + 4, end)) === view.getUint32(end);
      const found = sound ? parseText(type, png.subarray(at + 8, end), inflate) : undefined;
      if (found && !texts.has(found.keyword)) texts.set(found.keyword, found.text);
    }
    at = end + 4;
  }
  return texts;
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

function parseText(
  type: string,
  data: Uint8Array,
  inflate: Inflate,
): { keyword: string; text: string } | undefined {
  const split = data.indexOf(0);
  if (split < 1 || split > 79) return undefined;
  const keyword = fromLatin(data.subarray(0, split));
  const rest = data.subarray(split + 1);
  if (type === "tEXt") return { keyword, text: fromLatin(rest) };
  if (type === "zTXt") {
    const text = inflate(rest.subarray(1));
    return text && { keyword, text: fromLatin(text) };
  }
  if (type !== "iTXt") return undefined;
  const language = rest.indexOf(0, 2);
  const translated = language < 0 ? -1 : rest.indexOf(0, language + 1);
  if (translated < 0) return undefined;
  const body = rest.subarray(translated + 1);
  const text = rest[0] === 1 ? inflate(body) : body;
  return text && { keyword, text: new TextDecoder("utf-8", { ignoreBOM: true }).decode(text) };
}

/** TextDecoder's "latin1" is Windows-1252, which is another thing. */
function fromLatin(bytes: Uint8Array): string {
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

function joined(parts: readonly Uint8Array[]): Uint8Array {
  const all = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
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
