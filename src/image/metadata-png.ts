/** @file Text chunks of PNG files where there is Node, whose zlib reads the compressed ones. */

import { inflateSync } from "node:zlib";
import { maxTextBytes, pngTexts } from "./png-texts.js";

export { isPng, maxTextBytes, withPngTexts } from "./png-texts.js";

/** Texts by keyword, the first of each; chunks that are broken, too long or too many are passed over. */
export const readPngTexts = (png: Uint8Array): Map<string, string> => pngTexts(png, inflated);

function inflated(bytes: Uint8Array): Uint8Array | undefined {
  try {
    return inflateSync(bytes, { maxOutputLength: maxTextBytes });
  } catch {
    return undefined;
  }
}
