/** @file A finished picture: its pixels, the seed it came from, and how to write it. */

import { encodePicture, type PictureFormat, savePicture } from "../image/encode.js";
import type { Picture } from "../image/pixels.js";

export class Painting implements Picture {
  readonly width: number;
  readonly height: number;
  /** RGB bytes, row by row. */
  readonly data: Uint8Array;
  readonly seed: bigint | undefined;

  constructor({ width, height, data }: Picture, seed: bigint | undefined) {
    this.width = width;
    this.height = height;
    this.data = data;
    this.seed = seed;
  }

  /** Writes a .png, .jpg or .webp file, whole or not at all. */
  async save(path: string): Promise<void> {
    await savePicture(path, this);
  }

  async encode(format: PictureFormat = "png"): Promise<Uint8Array> {
    return encodePicture(this, format);
  }
}
