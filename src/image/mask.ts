/** @file Reads a mask from an image file: white where an image is generated anew, black where it is kept. */

import { type Decoded, decodeImage } from "./codec.js";
import { type RgbImage, toGrey } from "./pixels.js";

export type MaskOptions = {
  /** What a partly transparent mask means by it: "kept" in A1111, "generated" in OpenAI's API. */
  transparent?: "kept" | "generated";
  /** Swaps both. */
  inverted?: boolean;
};

/** Reads a mask's file as white, which is generated anew, on black; InvalidRequest. */
export async function decodeMask(source: Uint8Array | string, options: MaskOptions = {}): Promise<RgbImage> {
  return maskOf(await decodeImage(source, { field: "mask" }), options);
}

/**
 * As A1111's `create_binary_mask`: the alpha, above 128, of an image that is not opaque everywhere, such as strokes on
 * a transparent canvas; of any other the grey, which is cut at one half once it has its size.
 */
function maskOf({ image, alpha }: Decoded, { transparent = "kept", inverted = false }: MaskOptions) {
  const strokes = alpha?.some((value) => value < 255) ? alpha : undefined;
  const grey = strokes?.map((value) => (value > 128 ? 255 : 0)) ?? toGrey(image);
  const swapped = inverted !== (strokes !== undefined && transparent === "generated");
  const data = new Uint8Array(3 * grey.length);
  for (const [i, value] of grey.entries()) data.fill(swapped ? 255 - value : value, 3 * i, 3 * i + 3);
  return { width: image.width, height: image.height, data };
}
