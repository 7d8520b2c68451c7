/**
 * @file Writes and reads the metadata texts of PNG, JPEG and WebP files: the text that other programs read, our JSON,
 * and IPTC's source type. Independent of what either text says.
 */

import { InvalidRequest } from "../../errors.js";
import { reading, systemCode } from "../../files/file-system.js";
import { userCommentBytes } from "./exif-writer.js";
import { blockTexts, fileTexts, metadataKeyword, type Texts, xmpKeyword } from "./file-texts.js";
import { blocksOf } from "./other-formats.js";
import { maxTextBytes } from "./png-texts.js";
import { xmpPacket } from "./xmp.js";

/** `parameters` in A1111's grammar; `record` must be JSON in ASCII without `<`, `>` and `&`. */
export type MetadataTexts = { parameters: string; record: string };
type Format = "png" | "jpeg" | "webp";

const maxFileBytes = 2 ** 29;

/** InvalidRequest where the format has no room for the texts. */
export function checkRoom(format: Format, texts: MetadataTexts): void {
  const problem = roomProblem(format, texts);
  if (problem)
    throw new InvalidRequest("metadata", format, `${problem} Save as PNG, or leave the metadata out.`);
}

/** The texts as chunks of a PNG. XMP belongs into iTXt, which it gets for its byte order mark. */
export const pngChunks = ({ parameters, record }: MetadataTexts): Record<string, string> => ({
  parameters,
  [metadataKeyword]: record,
  [xmpKeyword]: xmpPacket(),
});

/** At least what a chunk of PNG has before the text. */
const keywordBytes = 100;

/**
 * The bytes that a file takes: of the comment in EXIF (65,533 with what libvips puts beside it in a JPEG, 2^16 in a
 * WebP), of the packet of XMP (libvips drops a longer one from a JPEG). Where a format has no limit, what is read
 * again has one.
 */
const room: Readonly<Record<Format, { comment: number; packet: number }>> = {
  png: { comment: maxTextBytes - keywordBytes, packet: maxTextBytes - keywordBytes },
  jpeg: { comment: 65_334, packet: 60_000 },
  webp: { comment: 65_536, packet: maxTextBytes },
};

/** Why a file of the format cannot hold the texts, or undefined: known before there is an image. */
export function roomProblem(
  format: Format,
  { parameters, record }: MetadataTexts,
  { estimated = false } = {},
): string | undefined {
  const most = room[format];
  const [comment, packet] =
    format === "png"
      ? [byteLength(parameters), record.length]
      : [userCommentBytes(parameters), byteLength(xmpPacket(record))];
  if (comment <= most.comment && packet <= most.packet) return undefined;
  const where = format === "png" ? "texts of a PNG" : `EXIF and XMP of a ${format.toUpperCase()}`;
  const rule = `must fit into ${most.comment} and ${most.packet} bytes, which the ${where} have room for`;
  return `${rule}, got ${estimated ? "about " : ""}${comment} and ${packet} bytes.`;
}

const byteLength = (text: string): number => new TextEncoder().encode(text).length;

/** The texts in an image file or its bytes, as far as they are there and whole; InvalidRequest for no image. */
export async function readTexts(source: Uint8Array | string): Promise<Partial<MetadataTexts>> {
  const texts = await readFileTexts(source);
  const parameters = texts.get("parameters") ?? texts.get("UserComment");
  const record = texts.get(metadataKeyword);
  return { ...(parameters !== undefined && { parameters }), ...(record !== undefined && { record }) };
}

/** All texts by their names that settings may be in. */
export async function readFileTexts(source: Uint8Array | string): Promise<Texts> {
  const bytes = typeof source === "string" ? await readImageFile(source) : source;
  // Formats that sharp alone opens, as AVIF and TIFF.
  return (await fileTexts(bytes)) ?? blockTexts(await blocksOf(bytes, (why) => unreadable(source, why)));
}

async function readImageFile(file: string): Promise<Uint8Array> {
  try {
    return await reading(file, file, async (handle) => {
      const { size } = await handle.stat();
      if (size > maxFileBytes) throw unreadable(file, `${size} bytes are too many`);
      return await handle.readFile();
    });
  } catch (error) {
    throw systemCode(error) === "ENOENT" ? unreadable(file, "ENOENT") : error;
  }
}

function unreadable(source: Uint8Array | string, why: string): InvalidRequest {
  const got = typeof source === "string" ? source : `${source.length} bytes`;
  const rule = `must be an image that can be read, got ${got}: ${why}`;
  return new InvalidRequest("image", got, `${rule}. Check the path.`);
}
