/** @file A generated image: its pixels, its metadata, and how it is saved. */

import { InvalidRequest } from "../errors.js";
import { encodeImage, type ImageFormat, saveImage } from "../image/codec.js";
import type { ContentSigner } from "../image/content-credentials.js";
import type { RgbImage } from "../image/pixels.js";
import { checkOptionNames, type OptionNames } from "../validation.js";
import type { ImageMetadata } from "./metadata/schema.js";
import { metadataTexts } from "./metadata/write.js";

export type SaveOptions = {
  /** Whether the file says what the image was generated from. True if left out. */
  metadata?: boolean;
  /** Of JPEG and WebP, 1 to 100. 95 if left out. */
  quality?: number;
  /**
   * Signs the file with content credentials (C2PA), which `openSigner` opens a certificate for: that a trained model made
   * it. Of PNG and JPEG with metadata; InvalidRequest for others. None if left out.
   */
  signer?: ContentSigner;
};

const saveNames: OptionNames<SaveOptions> = { metadata: true, quality: true, signer: true };

export class GeneratedImage implements RgbImage {
  /** Pixels. */
  readonly width: number;
  readonly height: number;
  /** RGB bytes, row by row. */
  readonly data: Uint8Array;
  /** Its own; absent where a generator was given. */
  readonly seed: bigint | undefined;
  /** What it was generated from, as files hold it; absent for pixels that were not generated. */
  readonly metadata: ImageMetadata | undefined;

  constructor({ width, height, data }: RgbImage, seed: bigint | undefined, metadata?: ImageMetadata) {
    this.width = width;
    this.height = height;
    this.data = data;
    this.seed = seed;
    this.metadata = metadata;
  }

  /** What of its request was cut, changed or without effect. */
  get warnings(): readonly string[] {
    return this.metadata?.warnings ?? [];
  }

  /** Whether the safety checker flagged it, so that it is blurred. */
  get flagged(): boolean {
    return this.metadata?.flagged ?? false;
  }

  /** Writes a .png, .jpg or .webp file, whole or not at all, with its metadata inside. */
  async save(path: string, options: SaveOptions = {}): Promise<void> {
    await saveImage(path, this, this.#inside(options));
  }

  /** The same as the bytes of a file. */
  async encode(format: ImageFormat = "png", options: SaveOptions = {}): Promise<Uint8Array> {
    return encodeImage(this, format, this.#inside(options));
  }

  #inside(options: SaveOptions) {
    checkOptionNames("save", options, saveNames);
    const { metadata = true, quality, signer } = options;
    const record = metadata ? this.metadata : undefined;
    if (signer && !record) {
      const rule = "must be of generated images with their metadata, got one without. Leave the metadata in.";
      throw new InvalidRequest("sign", metadata, rule);
    }
    return {
      ...{ quality, texts: record && metadataTexts(record) },
      sign: signer && record && { signer, app: record.app, edited: record.image !== undefined },
    };
  }
}
