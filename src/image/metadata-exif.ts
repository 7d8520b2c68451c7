/** @file The UserComment of EXIF (CIPA DC-008, 4.6.6). Knows neither JPEG nor WebP: sharp puts EXIF in and takes it out. */

const exifPointer = 0x8769;
const userComment = 0x9286;
const unicode = "UNICODE\0";

/**
 * A comment of the same length that sharp can write. It knows only ASCII ones, and spells other letters in ASCII:
 * `fillUserComment` puts the text in its place in the finished file.
 */
export function userCommentSpace(text: string): string {
  return "koala".padEnd(text.length * 2, "*");
}

/** Puts the text where `userCommentSpace` kept room for it, in UTF-16 big endian, which A1111 reads; or undefined. */
export function fillUserComment(file: Uint8Array, text: string): Uint8Array | undefined {
  const filled = Buffer.from(file);
  const space = Buffer.from(`ASCII\0\0\0${userCommentSpace(text)}`, "latin1");
  const at = filled.indexOf(space);
  if (at < 0 || filled.indexOf(space, at + 1) >= 0) return undefined;
  filled.write(unicode, at, "latin1");
  Buffer.from(text, "utf16le")
    .swap16()
    .copy(filled, at + unicode.length);
  return filled;
}

/** The comment in a block of EXIF, with or without its "Exif\0\0"; undefined where there is none or it is broken. */
export function readUserComment(exif: Uint8Array): string | undefined {
  const bytes = Buffer.from(exif.buffer, exif.byteOffset, exif.byteLength);
  const tiff = bytes.toString("latin1", 0, 6) === "Exif\0\0" ? bytes.subarray(6) : bytes;
  const order = tiff.toString("latin1", 0, 2);
  if ((order !== "II" && order !== "MM") || tiff.length < 8) return undefined;
  const little = order === "II";
  const u16 = (at: number) => (little ? tiff.readUInt16LE(at) : tiff.readUInt16BE(at));
  const u32 = (at: number) => (little ? tiff.readUInt32LE(at) : tiff.readUInt32BE(at));
  /** Where the 12 bytes of an entry are, in the directory at `start`. */
  const entry = (start: number, tag: number) => {
    const count = start + 2 <= tiff.length ? u16(start) : 0;
    for (let at = start + 2; at + 12 <= tiff.length && at < start + 2 + 12 * count; at += 12)
      if (u16(at) === tag) return at;
    return undefined;
  };
  const pointer = entry(u32(4), exifPointer);
  const found = pointer === undefined ? undefined : entry(u32(pointer + 8), userComment);
  if (found === undefined) return undefined;
  const [length, start] = [u32(found + 4), u32(found + 8)];
  return length > 8 && start + length <= tiff.length
    ? decode(tiff.subarray(start, start + length))
    : undefined;
}

function decode(comment: Buffer): string {
  const text = comment.subarray(unicode.length);
  const code = comment.toString("latin1", 0, unicode.length);
  const decoded = code === unicode ? utf16(text) : text.toString("utf8");
  return decoded.replace(/\0+$/, "");
}

/** Nothing says in which order the bytes are, and files differ; a text of ours or A1111's is mostly Latin. */
function utf16(text: Buffer): string {
  const even = Buffer.from(text.subarray(0, text.length & ~1));
  const zeros = (offset: number) => even.filter((byte, i) => byte === 0 && i % 2 === offset).length;
  if (zeros(0) >= zeros(1)) even.swap16();
  return even.toString("utf16le").replace(/^\ufeff/, "");
}
