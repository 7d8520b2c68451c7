/** @file The sessions of an autoencoder's two halves: images are encoded, latents are decoded, whole or in tiles. */

import { unscaledLatents } from "../diffusion/posterior.js";
import { floats, floatsOf } from "../engine/engine.js";
import { input } from "../tensor/operations.js";
import type { Params } from "../tensor/params.js";
import type { Autoencoder } from "./autoencoder.js";
import type { ComponentSession } from "./component.js";
import type { ImageValues } from "./input-image.js";
import { inTiles, type Planes } from "./vae-tiling.js";

/** image: [B, 3, H, W] -> `encoded`, of any size and batch */
export const encoderTrace = (vae: Pick<Autoencoder, "encode">) => (p: Params) => ({
  encoded: vae.encode(p, input("image", [{ B: 1 }, 3, { H: 64 }, { W: 64 }])),
});

/** latents: [B, C, h, w] -> `image`, of any size and batch */
export const decoderTrace = (vae: Pick<Autoencoder, "decode" | "latentChannels">) => (p: Params) => ({
  image: vae.decode(p, input("latents", [{ B: 1 }, vae.latentChannels, { H: 8 }, { W: 8 }])),
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
  const session = await vae.component.session("encode", encoderTrace(vae));
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
  const session = await component.session("decode", decoderTrace(vae));
  const whole = { data: unscaledLatents(latents, vae, 1), channels: latentChannels, height, width };
  const cut = { tiling, tile, scale: factor };
  return (
    await inTiles(whole, cut, runOn(session, { from: "latents", to: "image", what: "its decoded image" }))
  ).data;
}

/** A function that runs a session on one image: from the input `from` to the result `to`, which errors call `what`. */
export const runOn =
  (session: ComponentSession, { from, to, what }: { from: string; to: string; what?: string }) =>
  async ({ data, channels, height, width }: Planes): Promise<Planes> => {
    const result = (await session.run({ [from]: floats(data, 1, channels, height, width) }, what))[to];
    const [, ...shape] = result!.shape as [number, number, number, number];
    return { data: floatsOf(result), channels: shape[0], height: shape[1], width: shape[2] };
  };
