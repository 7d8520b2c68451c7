/** @file Encodes an image by sharp with metadata texts inside. */

import type { Sharp } from "sharp";
import { fillUserComment, userCommentSpace } from "./exif-writer.js";
import { checkRoom, type MetadataTexts, pngChunks } from "./metadata.js";
import { withPngTexts } from "./png-texts.js";
import { xmpPacket } from "./xmp.js";

/** Encodes an image whose format is chosen, with its texts inside; InvalidRequest where the format has no room. */
export async function encodeWithTexts(
  image: Sharp,
  format: "png" | "jpeg" | "webp",
  texts: MetadataTexts,
): Promise<Uint8Array> {
  checkRoom(format, texts);
  const { parameters, record } = texts;
  // libvips would write XMP as tEXt.
  if (format === "png") return withPngTexts(await image.toBuffer(), pngChunks(texts));
  const space = { IFD2: { UserComment: userCommentSpace(parameters) } };
  const file = await image.withExif(space).withXmp(xmpPacket(record)).toBuffer();
  // Where either does not fit, libvips leaves it out without a word.
  const filled = file.includes(record) ? fillUserComment(file, parameters) : undefined;
  if (filled) return filled;
  throw new Error(`internal: ${format} took neither ${parameters.length} nor ${record.length} characters`);
}
