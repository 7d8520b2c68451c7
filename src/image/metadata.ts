/**
 * @file What a picture file says of its making, in PNG, JPEG and WebP: the text that other programs read, an exact
 * record, and IPTC's source type. Must not know what is in either text.
 */

import { open } from "node:fs/promises";
import sharp, { type Sharp } from "sharp";
import { InvalidRequest } from "../errors.js";
import { systemCode } from "../weights/files.js";
import { fillUserComment, readUserComment, userCommentSpace } from "./metadata-exif.js";
import { isPng, maxTextBytes, readPngTexts, withPngTexts } from "./metadata-png.js";
import { xmpPacket } from "./xmp.js";

/** `parameters` in A1111's grammar; `record` must be JSON in ASCII without `<`, `>` and `&`. */
export type PictureTexts = { parameters: string; record: string };

const recordKeyword = "koala";
const maxFileBytes = 2 ** 29;

/** Encodes an image whose format is chosen, with its texts inside; InvalidRequest where the format has no room. */
export async function encodeWithTexts(
  image: Sharp,
  format: "png" | "jpeg" | "webp",
  { parameters, record }: PictureTexts,
): Promise<Uint8Array> {
  if (format === "png") {
    // XMP belongs into iTXt, which it gets for its byte order mark; libvips would write tEXt.
    const texts = { parameters, [recordKeyword]: record, "XML:com.adobe.xmp": xmpPacket() };
    return withPngTexts(await image.toBuffer(), texts);
  }
  const space = { IFD2: { UserComment: userCommentSpace(parameters) } };
  const file = await image.withExif(space).withXmp(xmpPacket(record)).toBuffer();
  // Where either does not fit, libvips leaves it out without a word.
  const filled = file.includes(record) ? fillUserComment(file, parameters) : undefined;
  if (filled) return filled;
  const got = `${2 * parameters.length} and ${record.length}`;
  const rule = `must each fit in the 64 kB that EXIF and XMP have, got ${got} bytes of settings`;
  throw new InvalidRequest("metadata", got, `${rule}. Save as PNG, or leave the metadata out.`);
}

/** The texts in a picture file or its bytes, as far as they are there and whole; InvalidRequest for no picture. */
export async function readTexts(source: Uint8Array | string): Promise<Partial<PictureTexts>> {
  const bytes = typeof source === "string" ? await readPicture(source) : source;
  if (isPng(bytes)) {
    const texts = readPngTexts(bytes);
    return given(texts.get("parameters"), texts.get(recordKeyword));
  }
  const { exif, xmp } = await headerOf(bytes, source);
  return given(exif && readUserComment(exif.subarray(0, maxTextBytes)), xmp && recordIn(xmp));
}

const given = (parameters: string | undefined, record: string | undefined): Partial<PictureTexts> => ({
  ...(parameters !== undefined && { parameters }),
  ...(record !== undefined && { record }),
});

async function headerOf(bytes: Uint8Array, source: Uint8Array | string) {
  try {
    return await sharp(bytes, { limitInputPixels: false }).metadata();
  } catch (error) {
    const why = error instanceof Error ? error.message.split("\n")[0] : String(error);
    throw unreadable(source, why ?? "");
  }
}

async function readPicture(file: string): Promise<Uint8Array> {
  try {
    const handle = await open(file, "r");
    try {
      const { size } = await handle.stat();
      if (size > maxFileBytes) throw unreadable(file, `${size} bytes are too many`);
      return await handle.readFile();
    } finally {
      await handle.close();
    }
  } catch (error) {
    const code = systemCode(error);
    throw code ? unreadable(file, code) : error;
  }
}

function unreadable(source: Uint8Array | string, why: string): InvalidRequest {
  const got = typeof source === "string" ? source : `${source.length} bytes`;
  const rule = `must be a picture that can be read, got ${got}: ${why}`;
  return new InvalidRequest("picture", got, `${rule}. Check the path.`);
}

/** The record in an XMP packet: an element as we write it, or an attribute as other programs rewrite it. */
function recordIn(packet: Uint8Array): string | undefined {
  const text = Buffer.from(packet.subarray(0, maxTextBytes)).toString("utf8");
  const element = /<koala:record(?:\s[^<>]*)?>([^<]*)<\/koala:record>/.exec(text)?.[1];
  const written = element ?? /\skoala:record=(?:"([^"<]*)"|'([^'<]*)')/.exec(text)?.slice(1).join("");
  return written?.replace(/&(quot|#34|apos|#39);/g, (_, name) => (/quot|34/.test(name) ? '"' : "'"));
}
