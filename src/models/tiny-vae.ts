/**
 * @file `AutoencoderTiny` (TAESD, TAESDXL, https://github.com/madebyollin/taesd): a small, fast autoencoder for
 * the latents of `AutoencoderKL`. Weight paths are Diffusers'; `currentTinyName` maps TAESD's own files.
 */

import * as z from "zod/mini";
import { ModelError } from "../errors.js";
import { conv2d } from "../nn.js";
import { add, div, mul, relu, sub, tanh, upsample } from "../tensor/operations.js";
import type { Params } from "../tensor/params.js";
import type { Tensor } from "../tensor/tensor.js";
import { ignored, only, parseConfig, positive, size, sizes } from "./config.js";

/** The fields of Diffusers' `AutoencoderTiny` (0.35) with its defaults. */
const schema = z.object({
  in_channels: z._default(size, 3),
  out_channels: z._default(size, 3),
  encoder_block_out_channels: z._default(sizes, [64, 64, 64, 64]),
  decoder_block_out_channels: z._default(sizes, [64, 64, 64, 64]),
  act_fn: only("relu"),
  upsample_fn: only("nearest"),
  latent_channels: z._default(size, 4),
  upsampling_scaling_factor: z._default(size, 2),
  num_encoder_blocks: z._default(z.array(z.int().check(z.nonnegative())), [1, 3, 3, 3]),
  num_decoder_blocks: z._default(z.array(z.int().check(z.nonnegative())), [3, 3, 3, 1]),
  latent_magnitude: z._default(positive, 3),
  latent_shift: z._default(z.number(), 0.5),
  force_upcast: ignored,
  scaling_factor: z._default(positive, 1),
  shift_factor: only(0, null),
  /** Written by Diffusers' constructor; always the encoder's widths. */
  block_out_channels: ignored,
});

export type TinyVaeConfig = {
  inChannels: number;
  outChannels: number;
  latentChannels: number;
  encoder: readonly { channels: number; blocks: number }[];
  decoder: readonly { channels: number; blocks: number }[];
  upsampling: number;
  scalingFactor: number;
};

/** Reads the parsed `config.json`; throws a ModelError that names the field. */
export function tinyVaeConfig(json: unknown, file = "vae/config.json"): TinyVaeConfig {
  const c = parseConfig(schema, json, file);
  const stages = (side: "encoder" | "decoder") => {
    const channels = c[`${side}_block_out_channels`];
    const blocks = c[`num_${side}_blocks`];
    if (channels.length !== blocks.length) {
      throw new ModelError(
        file,
        `num_${side}_blocks: must have ${channels.length} entries, as ${side}_block_out_channels has, got ${blocks.length}.`,
      );
    }
    if (new Set(channels).size > 1) {
      throw new ModelError(
        file,
        `${side}_block_out_channels: must all be equal, got [${channels.join(", ")}]. Diffusers cannot build others.`,
      );
    }
    return channels.map((n, i) => ({ channels: n, blocks: blocks[i]! }));
  };
  return {
    inChannels: c.in_channels,
    outChannels: c.out_channels,
    latentChannels: c.latent_channels,
    encoder: stages("encoder"),
    decoder: stages("decoder"),
    upsampling: c.upsampling_scaling_factor,
    scalingFactor: c.scaling_factor,
  };
}

/** image: [B, 3, 8h, 8w] in -1..1 -> latents: [B, 4, h, w] */
export function tinyEncode(p: Params, c: TinyVaeConfig, image: Tensor): Tensor {
  const layers = sequence(p.at("encoder.layers"));
  let h = div(add(image, 1), 2);
  for (const [i, stage] of c.encoder.entries()) {
    h = conv2d(layers(), h, stage.channels, i === 0 ? {} : { stride: 2, bias: false });
    for (let j = 0; j < stage.blocks; j++) h = block(layers(), h);
  }
  return conv2d(layers(), h, c.latentChannels);
}

/** latents: [B, 4, h, w] -> image: [B, 3, 8h, 8w] in -1..1, not clamped */
export function tinyDecode(p: Params, c: TinyVaeConfig, latents: Tensor): Tensor {
  const layers = sequence(p.at("decoder.layers"));
  const soft = mul(tanh(div(latents, 3)), 3);
  let h = relu(conv2d(layers(), soft, c.decoder[0]!.channels));
  layers(); // the activation has an index of its own
  for (const [i, stage] of c.decoder.entries()) {
    const last = i === c.decoder.length - 1;
    for (let j = 0; j < stage.blocks; j++) h = block(layers(), h);
    if (!last) {
      layers(); // the resampling has an index of its own
      h = upsample(h, c.upsampling);
    }
    h = conv2d(layers(), h, last ? c.outChannels : stage.channels, { bias: last });
  }
  return sub(mul(h, 2), 1);
}

/** x: [B, C, H, W] -> [B, C, H, W] */
function block(p: Params, x: Tensor): Tensor {
  const C = x.shape[1]!;
  return p.layer(() => {
    const h = relu(conv2d(p.at("conv.2"), relu(conv2d(p.at("conv.0"), x, C)), C));
    return relu(add(conv2d(p.at("conv.4"), h, C), x));
  });
}

/** The next layer of an `nn.Sequential` with each call. */
function sequence(p: Params): () => Params {
  let i = 0;
  return () => p.at(i++);
}

/** Diffusers' name of a tensor in TAESD's own files, whose decoder has a clamp without weights as layer 0. */
export function currentTinyName(name: string, side: "encoder" | "decoder"): string {
  const [, index, rest] = /^(\d+)(\..*)$/.exec(name) ?? [];
  if (index === undefined) return name;
  return `${side}.layers.${Number(index) - (side === "decoder" ? 1 : 0)}${rest}`;
}
