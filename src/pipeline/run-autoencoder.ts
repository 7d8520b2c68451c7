/** @file The sessions of an autoencoder's two halves: images are encoded, latents are decoded, whole or in tiles. */

import { unscaledLatents } from "../diffusion/posterior.js";
import { floats, floatsOf } from "../engine/engine.js";
import { input } from "../tensor/operations.js";
import type { Params } from "../tensor/params.js";
import type { Autoencoder } from "./autoencoder.js";
import type { ComponentSession } from "./component.js";
import type { ImageValues } from "./input-image.js";
import { inTiles, type Planes } from "./vae-tiling.js";

/** image: [B, 3, H, W] -> `encoded`, of any size and batch; `size` is in latent pixels */
export const encoderTrace =
  (vae: Pick<Autoencoder, "encode" | "factor">) => (p: Params, size?: { height: number; width: number }) => {
    const [H, W] = size ? [vae.factor * size.height, vae.factor * size.width] : [64, 64];
    return { encoded: vae.encode(p, input("image", [{ B: 1 }, 3, { H }, { W }])) };
  };

/** latents: [B, C, h, w] -> `image`, of any size and batch */
export const decoderTrace =
  (vae: Pick<Autoencoder, "decode" | "latentChannels">) =>
  (p: Params, { height, width } = { height: 8, width: 8 }) => ({
    image: vae.decode(p, input("latents", [{ B: 1 }, vae.latentChannels, { H: height }, { W: width }])),
  });

/**
 * One image as the encoder gives it, neither sampled nor scaled; in tiles of `tile` pixels if it is larger. Errors call
 * it `what`.
 */
export async function encodePixels(
  vae: Autoencoder,
  image: ImageValues,
  { tile, what = "the image" }: { tile?: number | undefined; what?: string } = {},
): Promise<Planes> {
  const session = await vae.component.session("encode", encoderTrace(vae), runSize(image, vae.factor, tile));
  const cut = { tiling: vae.tiling, tile, scale: 1 / vae.factor };
  return inTiles(
    { ...image, channels: 3 },
    cut,
    runOn(session, { from: "image", to: "encoded", what: `its latents of ${what}` }),
  );
}

/** Scaled latents of one image [1, C, h, w] -> [3, 8h, 8w] in about -1..1; in tiles of `tile` pixels if it is larger. */
export async function decodeLatents(
  vae: Autoencoder,
  latents: Float32Array,
  { height, width, tile }: { height: number; width: number; tile?: number | undefined },
): Promise<Float32Array> {
  const { component, factor, latentChannels, tiling } = vae;
  const size = runSize({ height, width }, 1, tile && tile / factor);
  const session = await component.session("decode", decoderTrace(vae), size);
  const whole = { data: unscaledLatents(latents, vae, 1), channels: latentChannels, height, width };
  const cut = { tiling, tile, scale: factor };
  return (
    await inTiles(whole, cut, runOn(session, { from: "latents", to: "image", what: "its decoded image" }))
  ).data;
}

/** What is computed at once, in latent pixels: an image of `factor` pixels per latent pixel, or a tile of it. */
function runSize(image: { height: number; width: number }, factor: number, tile = Number.POSITIVE_INFINITY) {
  const side = (pixels: number) => Math.ceil(Math.min(pixels, tile) / factor);
  return { batch: 1, height: side(image.height), width: side(image.width) };
}

/** A function that runs a session on one image: from the input `from` to the result `to`, which errors call `what`. */
export const runOn =
  (session: ComponentSession, { from, to, what }: { from: string; to: string; what?: string }) =>
  async ({ data, channels, height, width }: Planes): Promise<Planes> => {
    const result = (await session.run({ [from]: floats(data, 1, channels, height, width) }, what))[to];
    const [, ...shape] = result!.shape as [number, number, number, number];
    return { data: floatsOf(result), channels: shape[0], height: shape[1], width: shape[2] };
  };
