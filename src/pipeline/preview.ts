/** @file Makes previews of latents: by linear factors that fit the model's autoencoder, or by a small decoder. */

import type { JsonObject } from "../files/json.js";
import type { RgbImage } from "../image/pixels.js";
import { toRgbImage } from "../image/pixels.js";
import {
  greyLatentRgb,
  knownLatentRgb,
  type LatentRgb,
  previewLatents,
  shrinkLatents,
} from "../image/preview.js";
import type { Components } from "./components.js";

/** Factors give a pixel per latent; the decoder of an `AutoencoderTiny` gives all pixels, in little time. */
export type PreviewMethod = { by: "factors"; latentRgb: LatentRgb } | { by: "decoder" };

/** [batch, channels, height, width] of the latents */
type Shape = readonly [number, number, number, number];

/** Latents of one image [1, C, h, w] -> [3, 8h, 8w] */
type Decode = (latents: Float32Array, h: number, w: number) => Promise<Float32Array>;

/**
 * A model's own factors (`koala.json`), else its `AutoencoderTiny`, else the published factors where its autoencoder
 * is known by topology and scaling factor, else grey: another autoencoder's factors would give false colours.
 */
export async function previewMethod({
  folder,
  vae,
  defaults: { preview },
}: Pick<Components, "folder" | "vae" | "defaults">): Promise<PreviewMethod> {
  if (preview && preview.factors.length === vae.latentChannels)
    return { by: "factors", latentRgb: { bias: [0, 0, 0], ...preview } };
  if (vae.encodes === "latents") return { by: "decoder" };
  const known = knownAutoencoder(await folder.component("vae").config());
  return { by: "factors", latentRgb: known ? knownLatentRgb[known] : greyLatentRgb(vae.latentChannels) };
}

/** Both have one topology and differ in `scaling_factor`, which SD's config may leave out. */
function knownAutoencoder(config: JsonObject): keyof typeof knownLatentRgb | undefined {
  const { _class_name, block_out_channels, latent_channels = 4, scaling_factor = 0.18215 } = config;
  if (_class_name !== "AutoencoderKL" || latent_channels !== 4) return undefined;
  if (JSON.stringify(block_out_channels) !== "[128,256,512,512]") return undefined;
  if (scaling_factor === 0.13025) return "sdxl";
  return scaling_factor === 0.18215 ? "sd" : undefined;
}

/** Latents of more pixels than this are averaged before a small decoder decodes them. */
const mostDecoded = 64 * 64;

/** One small image per image of the batch. */
export async function previews(
  latents: Float32Array,
  [batch, channels, h, w]: Shape,
  method: PreviewMethod,
  decode: Decode,
): Promise<RgbImage[]> {
  const size = channels * h * w;
  const images: RgbImage[] = [];
  for (let i = 0; i < batch; i++) {
    const one = latents.subarray(i * size, (i + 1) * size);
    if (method.by === "factors") images.push(previewLatents(one, { h, w, latentRgb: method.latentRgb }));
    else {
      const by = Math.ceil(Math.sqrt((h * w) / mostDecoded));
      const small = by > 1 ? shrinkLatents(one, { channels, h, w, by }) : { latents: one, h, w };
      const pixels = await decode(small.latents, small.h, small.w);
      const factor = Math.round(Math.sqrt(pixels.length / 3 / (small.h * small.w)));
      images.push(toRgbImage(pixels, small.w * factor, small.h * factor));
    }
  }
  return images;
}
