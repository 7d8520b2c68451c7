/** @file Writes the UserComment of EXIF (CIPA DC-008, 4.6.6) into the block that sharp has written. */

const unicode = "UNICODE\0";

/** Bytes of the comment in a file. */
export const userCommentBytes = (text: string): number => unicode.length + 2 * text.length;

/**
 * A placeholder of the same length. sharp writes only comments in ASCII, so `fillUserComment` replaces it by the text in
 * the finished file.
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
