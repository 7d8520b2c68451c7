/** @file Converts between a network's floats and 8-bit RGB pixels. Browser-safe: no sharp, no Node. */
import { EngineError, NotFinite, ShapeError } from "../errors.js";

/** An 8-bit sRGB image; `data` is [height, width, 3]. */
export type RgbImage = { width: number; height: number; data: Uint8Array };

/** An image's width and height in pixels. */
export type ImageSize = { readonly width: number; readonly height: number };

/** A colour, 0..255 each. */
export type Rgb = readonly [red: number, green: number, blue: number];

/**
 * One image [3, height, width] in -1..1 -> image, bit for bit as Diffusers' VaeImageProcessor: clamp of
 * x / 2 + 0.5, times 255, to nearest even, in float32. EngineError if any value is not finite.
 */
export function toRgbImage(image: Float32Array, width: number, height: number): RgbImage {
  const pixels = width * height;
  if (image.length !== 3 * pixels) {
    throw new ShapeError("image", `must be [3, ${height}, ${width}], got ${image.length} values`);
  }
  requireFinite(image, "image");
  const data = new Uint8Array(3 * pixels);
  for (let channel = 0; channel < 3; channel++) {
    for (let i = 0; i < pixels; i++) data[3 * i + channel] = toByte(image[channel * pixels + i]!);
  }
  return { width, height, data };
}

/** Image -> [3, height, width] in -1..1, in float32 as Diffusers' VaeImageProcessor: 2 (p / 255) - 1. */
export function fromRgbImage({ width, height, data }: RgbImage): Float32Array {
  const pixels = width * height;
  const image = new Float32Array(3 * pixels);
  for (let channel = 0; channel < 3; channel++) {
    for (let i = 0; i < pixels; i++) {
      image[channel * pixels + i] = 2 * Math.fround(data[3 * i + channel]! / 255) - 1;
    }
  }
  return image;
}

/** Luma of each pixel in 0..255, rounded as Pillow's `convert("L")` (ITU-R 601): [height, width] */
export function toGrey({ data }: RgbImage): Uint8Array {
  return Uint8Array.from({ length: data.length / 3 }, (_, i) => {
    const [r, g, b] = [data[3 * i]!, data[3 * i + 1]!, data[3 * i + 2]!];
    return (r * 19595 + g * 38470 + b * 7471 + 0x8000) >> 16;
  });
}

/** RGBA [height, width, 4] -> its colours laid over a background, and its alpha [height, width]. */
export function overBackground(rgba: Uint8Array, background: Rgb): { data: Uint8Array; alpha: Uint8Array } {
  const pixels = rgba.length / 4;
  const data = new Uint8Array(3 * pixels);
  const alpha = new Uint8Array(pixels);
  for (let i = 0; i < pixels; i++) {
    const a = (alpha[i] = rgba[4 * i + 3]!);
    for (let c = 0; c < 3; c++) {
      data[3 * i + c] = Math.round((rgba[4 * i + c]! * a + background[c]! * (255 - a)) / 255);
    }
  }
  return { data, alpha };
}

/** Throws an EngineError if a value is NaN or infinite: it would come out black. */
export function requireFinite(values: Float32Array, where: string): void {
  const problem = finiteProblem(values);
  if (problem !== undefined) throw new EngineError(where, new NotFinite(`${problem}.`));
}

/** The rule that is broken where values are NaN or infinite; undefined if none is. */
export function finiteProblem(values: Float32Array): string | undefined {
  let bad = 0;
  // A callback for each of millions of values would be several times slower.
  for (let i = 0; i < values.length; i++) if (!Number.isFinite(values[i]!)) bad++;
  return bad === 0 ? undefined : `must be finite, got NaN or infinity in ${bad} of ${values.length} values`;
}

function toByte(x: number): number {
  const unit = Math.fround(Math.fround(x * 0.5) + 0.5);
  const scaled = Math.fround(Math.min(Math.max(unit, 0), 1) * 255);
  // Adding 2^52 leaves a double no bits below one, so the addition itself rounds to nearest even.
  return scaled + 2 ** 52 - 2 ** 52;
}
