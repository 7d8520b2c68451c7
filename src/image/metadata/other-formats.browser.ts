/** @file A browser opens no other formats to read their metadata. */

import type { Blocks } from "./file-texts.js";

export async function blocksOf(_: Uint8Array, refuse: (why: string) => Error): Promise<Blocks> {
  throw refuse("of PNG, JPEG and WebP alone are settings read in a browser");
}
