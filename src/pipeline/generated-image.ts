/** @file A finished picture: its pixels, what it came from, and how to write it. */

import { encodePicture, type PictureFormat, savePicture } from "../image/codec.js";
import type { Picture } from "../image/pixels.js";
import type { PictureRecord } from "./metadata/schema.js";
import { pictureTexts } from "./metadata/write.js";

/** `metadata: false` leaves out what the picture was painted from; `quality` is 1..100, for JPEG and WebP. */
export type SaveOptions = { metadata?: boolean; quality?: number };

export class Painting implements Picture {
  readonly width: number;
  readonly height: number;
  /** RGB bytes, row by row. */
  readonly data: Uint8Array;
  readonly seed: bigint | undefined;
  /** What it was painted from, as files hold it. */
  readonly record: PictureRecord | undefined;

  constructor({ width, height, data }: Picture, seed: bigint | undefined, record?: PictureRecord) {
    this.width = width;
    this.height = height;
    this.data = data;
    this.seed = seed;
    this.record = record;
  }

  /** What of its request was cut, changed or has no effect. */
  get warnings(): readonly string[] {
    return this.record?.warnings ?? [];
  }

  /** Writes a .png, .jpg or .webp file, whole or not at all, with its record inside. */
  async save(path: string, options: SaveOptions = {}): Promise<void> {
    await savePicture(path, this, this.#inside(options));
  }

  async encode(format: PictureFormat = "png", options: SaveOptions = {}): Promise<Uint8Array> {
    return encodePicture(this, format, this.#inside(options));
  }

  #inside({ metadata = true, quality }: SaveOptions) {
    return { quality, texts: metadata && this.record ? pictureTexts(this.record) : undefined };
  }
}
