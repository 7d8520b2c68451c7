/** @file The sessions of an autoencoder's two halves: images are encoded, latents are decoded. */

import { floats, floatsOf, type Values } from "../engine/engine.js";
import { input } from "../tensor/operations.js";
import type { Params } from "../tensor/params.js";
import type { Autoencoder } from "./autoencoder.js";
import type { ImageValues } from "./input-image.js";

/** image: [B, 3, H, W] -> `encoded`, of any size and batch */
export const encoderTrace = (vae: Pick<Autoencoder, "encode">) => (p: Params) => ({
  encoded: vae.encode(p, input("image", [{ B: 1 }, 3, { H: 64 }, { W: 64 }])),
});

/** latents: [B, C, h, w] -> `image`, of any size and batch */
export const decoderTrace = (vae: Pick<Autoencoder, "decode" | "latentChannels">) => (p: Params) => ({
  image: vae.decode(p, input("latents", [{ B: 1 }, vae.latentChannels, { H: 8 }, { W: 8 }])),
});

/** One image as the encoder gives it: neither sampled nor scaled. Errors call it `what`. */
export async function encodePixels(
  vae: Autoencoder,
  { data, width, height }: ImageValues,
  what = "the image",
): Promise<Values> {
  const session = await vae.component.session("encode", encoderTrace(vae));
  const inputs = { image: floats(data, 1, 3, height, width) };
  const { encoded } = await session.run(inputs, `its latents of ${what}`);
  return encoded as Values;
}

/** Scaled latents of one image [1, C, h, w] -> [3, 8h, 8w] in about -1..1 */
export async function decodeLatents(
  vae: Autoencoder,
  latents: Float32Array,
  { height, width }: { height: number; width: number },
): Promise<Float32Array> {
  const session = await vae.component.session("decode", decoderTrace(vae));
  const unscaled = latents.map((v) => v / vae.scalingFactor);
  const inputs = { latents: floats(unscaled, 1, vae.latentChannels, height, width) };
  const { image } = await session.run(inputs, "its decoded image");
  return floatsOf(image);
}
