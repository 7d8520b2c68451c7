/** @file The mean of images of one size, pixel by pixel. Browser-safe. */

import type { RgbImage } from "./pixels.js";

/** Of the pixels' values as they are stored. */
export class MeanImage {
  #size: { width: number; height: number } | undefined;
  #sums = new Float64Array(0);
  #images = 0;

  /** The first image's size is that of all. */
  add({ width, height, data }: RgbImage): void {
    if (!this.#size) {
      this.#size = { width, height };
      this.#sums = new Float64Array(data.length);
    }
    for (let i = 0; i < data.length; i++) this.#sums[i]! += data[i]!;
    this.#images++;
  }

  /** Undefined before the first image. */
  mean(): RgbImage | undefined {
    if (!this.#size) return undefined;
    return { ...this.#size, data: Uint8Array.from(this.#sums, (sum) => Math.round(sum / this.#images)) };
  }
}
