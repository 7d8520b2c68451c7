/**
 * @file Reads the texts in image files by name: PNG's chunks, and EXIF, XMP and comments of all three formats. Runs in
 * browsers too: must not import Node.
 */

import { exifTexts } from "./exif.js";
import { inflated } from "./inflate.js";
import { fromLatin, type Inflate, isPng, maxTextBytes, pngExif, pngTexts } from "./png-texts.js";
import { wantedTexts } from "./programs/programs.js";
import { commentInXmp, recordInXmp } from "./xmp.js";

export type Texts = ReadonlyMap<string, string>;

/** The keyword of our own metadata. */
export const metadataKeyword = "koala";
export const xmpKeyword = "XML:com.adobe.xmp";
const wanted: ReadonlySet<string> = new Set([...wantedTexts, metadataKeyword, xmpKeyword]);

/** The texts of a PNG, JPEG or WebP file as far as they are there and whole; undefined for any other bytes. */
export async function fileTexts(bytes: Uint8Array, inflate: Inflate = inflated): Promise<Texts | undefined> {
  if (isPng(bytes)) {
    const texts = await pngTexts(bytes, wanted, inflate);
    return blockTexts({ exif: pngExif(bytes), xmp: texts.get(xmpKeyword) }, texts);
  }
  const blocks = isJpeg(bytes) ? jpegBlocks(bytes) : isWebp(bytes) ? webpBlocks(bytes) : undefined;
  return blocks && blockTexts(blocks);
}

export type Blocks = {
  exif?: Uint8Array | undefined;
  xmp?: Uint8Array | string | undefined;
  comment?: Uint8Array | undefined;
};

/** The texts in a file's blocks, added to those that are known; an earlier one of a name counts. */
export function blockTexts({ exif, xmp, comment }: Blocks, known: Texts = new Map()): Texts {
  const packet =
    typeof xmp === "string" ? xmp : xmp && new TextDecoder().decode(xmp.subarray(0, maxTextBytes));
  const inPacket = (name: string, read: (packet: string) => string | undefined): [string, string][] => {
    const text = packet === undefined ? undefined : read(packet);
    return text === undefined ? [] : [[name, text]];
  };
  return new Map([
    ...inPacket("UserComment", commentInXmp),
    ...inPacket(metadataKeyword, recordInXmp),
    ...(comment ? [["Comment", new TextDecoder().decode(comment)] as const] : []),
    ...(exif ? exifTexts(exif.subarray(0, maxTextBytes)) : []),
    ...known,
  ]);
}

const isJpeg = (bytes: Uint8Array): boolean => fromLatin(bytes.subarray(0, 3)) === "\xff\xd8\xff";
const isWebp = (bytes: Uint8Array): boolean =>
  fromLatin(bytes.subarray(0, 4)) === "RIFF" && fromLatin(bytes.subarray(8, 12)) === "WEBP";

/** ITU-T T.81, B.1.1: segments up to the first scan, each with its length. */
function jpegBlocks(jpeg: Uint8Array): Blocks {
  const [app1, com, scan] = [0xe1, 0xfe, 0xda];
  const [exifMark, xmpMark] = ["Exif\0\0", "http://ns.adobe.com/xap/1.0/\0"];
  const blocks: Blocks = {};
  for (let at = 2; at + 4 <= jpeg.length && jpeg[at] === 0xff; ) {
    if (jpeg[at + 1] === 0xff) {
      at++; // a marker may be preceded by any number of them
      continue;
    }
    const [marker, length] = [jpeg[at + 1]!, jpeg[at + 2]! * 256 + jpeg[at + 3]!];
    if (marker === scan || length < 2 || at + 2 + length > jpeg.length) break;
    const data = jpeg.subarray(at + 4, at + 2 + length);
    const has = (mark: string) => fromLatin(data.subarray(0, mark.length)) === mark;
    if (marker === com) blocks.comment ??= data;
    if (marker === app1 && has(exifMark)) blocks.exif ??= data;
    if (marker === app1 && has(xmpMark)) blocks.xmp ??= data.subarray(xmpMark.length);
    at += 2 + length;
  }
  return blocks;
}

/** RIFF: chunks of a name, a length and as many bytes, filled up to an even number. */
function webpBlocks(webp: Uint8Array): Blocks {
  const view = new DataView(webp.buffer, webp.byteOffset, webp.byteLength);
  const blocks: Blocks = {};
  for (let at = 12; at + 8 <= webp.length; ) {
    const length = view.getUint32(at + 4, true);
    const name = fromLatin(webp.subarray(at, at + 4));
    const data = webp.subarray(at + 8, at + 8 + length);
    if (data.length < length) break;
    if (name === "EXIF") blocks.exif ??= data;
    if (name === "XMP ") blocks.xmp ??= data;
    at += 8 + length + (length % 2);
  }
  return blocks;
}
