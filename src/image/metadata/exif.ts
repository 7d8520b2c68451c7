/** @file Reads the texts in a block of EXIF (CIPA DC-008). Pure, and safe on any bytes; `exif-writer.ts` writes. */

import { fromLatin, maxTextBytes } from "./png-texts.js";

const exifPointer = 0x8769;
/** Those where programs put settings, under the names of PNG's keywords where there is one. */
const tags: Readonly<Record<number, string>> = {
  270: "Description",
  271: "Make",
  272: "Model",
  305: "Software",
  37510: "UserComment",
  40092: "XPComment",
};
/** What a file holds in a character set that is not read here. */
export const unreadComment = "UserComment in JIS";

/** Texts by name, of the first directory and of EXIF's own, whose texts count first; with or without "Exif\0\0". */
export function exifTexts(block: Uint8Array): Map<string, string> {
  const tiff = fromLatin(block.subarray(0, 6)) === "Exif\0\0" ? block.subarray(6) : block;
  const byteOrder = fromLatin(tiff.subarray(0, 2));
  const texts = new Map<string, string>();
  if ((byteOrder !== "II" && byteOrder !== "MM") || tiff.length < 8) return texts;
  const little = byteOrder === "II";
  const view = new DataView(tiff.buffer, tiff.byteOffset, tiff.byteLength);
  const first = view.getUint32(4, little);
  const pointer = entriesOf(view, first, little).find(({ tag }) => tag === exifPointer);
  const own = pointer ? entriesOf(view, view.getUint32(pointer.at + 8, little), little) : [];
  for (const entries of [own, entriesOf(view, first, little)]) {
    // A tag counts once in a directory: many that share their bytes would be decoded again and again.
    for (const [tag, at] of new Map(entries.reverse().map(({ tag, at }) => [tag, at]))) {
      const name = tags[tag];
      const value = name === undefined || texts.has(name) ? undefined : bytesOf(tiff, view, at, little);
      if (name === undefined || !value) continue;
      const text = decoded(name, value, little);
      if (text === undefined) texts.set(unreadComment, "");
      else if (text !== "") texts.set(name, text);
    }
  }
  return texts;
}

type Entry = { tag: number; at: number };

/** The entries of 12 bytes in the directory at `start`, as far as they are within the block. */
function entriesOf(view: DataView, start: number, little: boolean): Entry[] {
  const count = start + 2 <= view.byteLength ? view.getUint16(start, little) : 0;
  const entries: Entry[] = [];
  for (let at = start + 2; entries.length < count && at + 12 <= view.byteLength; at += 12)
    entries.push({ tag: view.getUint16(at, little), at });
  return entries;
}

/** An entry's bytes, where it is of a kind that holds text. */
function bytesOf(tiff: Uint8Array, view: DataView, at: number, little: boolean): Uint8Array | undefined {
  const [byte, ascii, undefinedKind] = [1, 2, 7];
  const kind = view.getUint16(at + 2, little);
  const length = view.getUint32(at + 4, little);
  if (![byte, ascii, undefinedKind].includes(kind) || length > maxTextBytes) return undefined;
  const start = length <= 4 ? at + 8 : view.getUint32(at + 8, little);
  return start + length <= tiff.length ? tiff.subarray(start, start + length) : undefined;
}

/** Undefined for JIS. */
function decoded(name: string, bytes: Uint8Array, little: boolean): string | undefined {
  if (name === "XPComment") return utf16(bytes, true);
  return name === "UserComment" ? comment(bytes, little) : plain(bytes, little);
}

/** 4.6.6: eight bytes say the character code; many programs leave them out, and then the text begins at once. */
function comment(bytes: Uint8Array, little: boolean): string | undefined {
  const [code, text] = [fromLatin(bytes.subarray(0, 8)), bytes.subarray(8)];
  switch (code.toUpperCase()) {
    case "ASCII\0\0\0":
    case "\0\0\0\0\0\0\0\0":
      return plain(text, little);
    case "UNICODE\0":
      return utf16(text, isLittle(text, little));
    case "JIS\0\0\0\0\0":
      return undefined;
    default:
      return plain(bytes, little);
  }
}

/** Nothing says how it is written: a NUL inside means UTF-16, else it is UTF-8, and Latin-1 where it cannot be. */
function plain(given: Uint8Array, little: boolean): string {
  let end = given.length;
  while (end > 0 && given[end - 1] === 0) end--;
  const bytes = given.subarray(0, end);
  // The last letter of UTF-16 may end in a NUL, which is then not filling.
  if (bytes.includes(0)) return utf16(given, isLittle(given, little));
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    return fromLatin(bytes);
  }
}

/** Files may differ from their declared byte order; settings are mostly Latin, whose upper bytes are zero. */
function isLittle(bytes: Uint8Array, declared: boolean): boolean {
  const [even, odd] = [0, 1].map(
    (offset) => bytes.filter((byte, i) => byte === 0 && i % 2 === offset).length,
  );
  return even === odd ? declared : odd! > even!;
}

function utf16(bytes: Uint8Array, little: boolean): string {
  const mark =
    bytes[0] === 0xff && bytes[1] === 0xfe ? true : bytes[0] === 0xfe && bytes[1] === 0xff ? false : little;
  const text = new TextDecoder(mark ? "utf-16le" : "utf-16be").decode(bytes.subarray(0, bytes.length & ~1));
  let end = text.length;
  while (end > 0 && text.charCodeAt(end - 1) === 0) end--;
  return text.slice(0, end);
}
