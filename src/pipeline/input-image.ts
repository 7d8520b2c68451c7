/** @file The image and the mask that a request begins with, read and brought to the size that is generated. */

import { InvalidRequest } from "../errors.js";
import { decodeImage, type ImageInput } from "../image/codec.js";
import { decodeMask } from "../image/mask.js";
import { fromRgbImage, toGrey } from "../image/pixels.js";
import { resizeImage } from "../image/resize.js";
import type { Autoencoder } from "./autoencoder.js";
import { side } from "./check-request.js";
import type { AcceptedRequest, CheckedRequest } from "./request.js";
import { isCut, tileSize, uncutWarning } from "./vae-tiling.js";

/** An image as a network reads it: [3, height, width] in -1..1 */
export type ImageValues = { data: Float32Array; width: number; height: number };

/** The request at its size, and the images that it begins with. */
export async function readInputs(accepted: AcceptedRequest, { factor, tiling }: Autoencoder) {
  const { image: source, mask: maskSource, width, height, warnings } = accepted;
  const warn = (message: string) => warnings.add(message);
  const image =
    source === undefined || source instanceof Float32Array
      ? source
      : await readImage(source, factor, { width, height, warn });
  const size = image === undefined || image instanceof Float32Array ? { width, height } : image;
  const [tile, pixels] = [tileSize(tiling, accepted.vaeTiling), { width: size.width!, height: size.height! }];
  const cut = tile !== undefined && isCut(tiling, tile, pixels);
  if (tile !== undefined && !cut) warn(uncutWarning(pixels, tile));
  const sized: CheckedRequest = { ...accepted, ...pixels, vaeTiling: cut ? tile : undefined };
  const mask = maskSource === undefined ? undefined : await readMask(maskSource, sized);
  return { sized, image, mask };
}

/** Reads the image at the size that is generated; without width and height its own, down to a multiple of `factor`. */
async function readImage(
  source: ImageInput,
  factor: number,
  {
    width,
    height,
    warn,
  }: { width?: number | undefined; height?: number | undefined; warn: (text: string) => void },
): Promise<ImageValues> {
  const image = isEncoded(source) ? (await decodeImage(source)).image : source;
  const own = (size: number) => Math.max(factor, Math.floor(size / factor) * factor);
  const [wide, high] = [width ?? own(image.width), height ?? own(image.height)];
  for (const value of [wide, high]) checkOwnSide(value, factor);
  const resized = resizeImage(image, wide, high);
  const isRounded =
    (width === undefined && image.width !== wide) || (height === undefined && image.height !== high);
  if (isRounded) {
    const sizes = `image: ${image.width}x${image.height} is generated at ${wide}x${high}`;
    warn(`${sizes}, multiples of ${factor}. Give width and height for another size.`);
  }
  return { data: fromRgbImage(resized), width: wide, height: high };
}

/** A side of the image itself, which the request does not give. */
function checkOwnSide(value: number, factor: number): void {
  try {
    side("image", value, factor);
  } catch (error) {
    if (!(error instanceof InvalidRequest)) throw error;
    const rule = `must have sides of at most 8192 pixels, got ${value}. Give width and height for another size.`;
    throw new InvalidRequest("image", value, rule);
  }
}

/**
 * Reads the mask, 1 where the image is generated anew and 0 where it is kept: grey, at the image's size, cut at one
 * half. [height, width]
 */
async function readMask(
  source: ImageInput,
  { width, height }: { width: number; height: number },
): Promise<Float32Array> {
  const mask = isEncoded(source) ? await decodeMask(source) : source;
  return Float32Array.from(toGrey(resizeImage(mask, width, height)), (v) => (v / 255 < 0.5 ? 0 : 1));
}

const isEncoded = (source: ImageInput): source is string | Uint8Array =>
  typeof source === "string" || source instanceof Uint8Array;
