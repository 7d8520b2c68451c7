/** @file A finished image: its pixels, what it came from, and how to write it. */

import { encodeImage, type ImageFormat, saveImage } from "../image/codec.js";
import type { RgbImage } from "../image/pixels.js";
import type { ImageMetadata } from "./metadata/schema.js";
import { metadataTexts } from "./metadata/write.js";

/** `metadata: false` leaves out what the image was generated from; `quality` is 1..100, for JPEG and WebP. */
export type SaveOptions = { metadata?: boolean; quality?: number };

export class GeneratedImage implements RgbImage {
  readonly width: number;
  readonly height: number;
  /** RGB bytes, row by row. */
  readonly data: Uint8Array;
  readonly seed: bigint | undefined;
  /** What it was generated from, as files hold it. */
  readonly metadata: ImageMetadata | undefined;

  constructor({ width, height, data }: RgbImage, seed: bigint | undefined, metadata?: ImageMetadata) {
    this.width = width;
    this.height = height;
    this.data = data;
    this.seed = seed;
    this.metadata = metadata;
  }

  /** What of its request was cut, changed or has no effect. */
  get warnings(): readonly string[] {
    return this.metadata?.warnings ?? [];
  }

  /** Writes a .png, .jpg or .webp file, whole or not at all, with its record inside. */
  async save(path: string, options: SaveOptions = {}): Promise<void> {
    await saveImage(path, this, this.#inside(options));
  }

  async encode(format: ImageFormat = "png", options: SaveOptions = {}): Promise<Uint8Array> {
    return encodeImage(this, format, this.#inside(options));
  }

  #inside({ metadata = true, quality }: SaveOptions) {
    return { quality, texts: metadata && this.metadata ? metadataTexts(this.metadata) : undefined };
  }
}
