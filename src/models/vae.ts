/**
 * @file The autoencoder of Stable Diffusion, `AutoencoderKL`: encodes images to latents of an eighth of their size, and
 * decodes them.
 *
 * Weight paths are those of `vae/diffusion_pytorch_model.safetensors` in the diffusers layout.
 */

import * as z from "zod/mini";
import { ModelError } from "../errors.js";
import { conv2d, groupNorm, linear, pixels, tokens } from "../nn.js";
import { add, attention, silu, upsample } from "../tensor/operations.js";
import type { Params } from "../tensor/params.js";
import type { Tensor } from "../tensor/tensor.js";
import { ignored, only, parseConfig, positive, size, sizes } from "./config.js";
import { resnet } from "./unet.js";

/** The fields of Diffusers' `AutoencoderKL` (0.35) with its defaults. */
const schema = z.object({
  in_channels: z._default(size, 3),
  out_channels: z._default(size, 3),
  down_block_types: z._default(z.array(z.literal("DownEncoderBlock2D", 'must be "DownEncoderBlock2D"')), [
    "DownEncoderBlock2D",
  ]),
  up_block_types: z._default(z.array(z.literal("UpDecoderBlock2D", 'must be "UpDecoderBlock2D"')), [
    "UpDecoderBlock2D",
  ]),
  block_out_channels: z._default(sizes, [64]),
  layers_per_block: z._default(size, 1),
  act_fn: only("silu", "swish"),
  latent_channels: z._default(size, 4),
  norm_num_groups: z._default(size, 32),
  /** Pixels; the side of a tile where an image is decoded in tiles. */
  sample_size: z._default(z.union([size, sizes]), 32),
  scaling_factor: z._default(positive, 0.18215),
  shift_factor: only(null),
  /** Per channel, with latents_std: Playground v2.5 was trained on latents of mean 0 and one standard deviation. */
  latents_mean: z.nullish(z.array(z.number("must be a number"))),
  latents_std: z.nullish(z.array(positive)),
  /** Of the type of arithmetic, not of the network: `staysFloat32` in `pipeline/autoencoder.ts`. */
  force_upcast: ignored,
  use_quant_conv: z._default(z.boolean(), true),
  use_post_quant_conv: z._default(z.boolean(), true),
  mid_block_add_attention: z._default(z.boolean(), true),
});

/** Of latents, a number per channel: those of a normal distribution that the U-Net was trained on. */
export type LatentStatistics = { mean: readonly number[]; std: readonly number[] };

export type VaeConfig = {
  inChannels: number;
  outChannels: number;
  channels: readonly number[];
  latentChannels: number;
  /** Pixels. */
  sampleSize: number;
  layers: number;
  groups: number;
  scalingFactor: number;
  statistics: LatentStatistics | undefined;
  quantConv: boolean;
  postQuantConv: boolean;
  midAttention: boolean;
};

/** Reads the parsed `config.json`; throws a ModelError that names the field. */
export function vaeConfig(json: unknown, file = "vae/config.json"): VaeConfig {
  const c = parseConfig(schema, json, file);
  for (const field of ["down_block_types", "up_block_types"] as const) {
    if (c[field].length !== c.block_out_channels.length) {
      throw new ModelError(
        file,
        `${field}: must have ${c.block_out_channels.length} entries, as block_out_channels has, got ${c[field].length}.`,
      );
    }
  }
  const odd = c.block_out_channels.find((n) => n % c.norm_num_groups !== 0);
  if (odd)
    throw new ModelError(file, `norm_num_groups: must divide ${odd} channels, got ${c.norm_num_groups}.`);
  return {
    inChannels: c.in_channels,
    outChannels: c.out_channels,
    channels: c.block_out_channels,
    latentChannels: c.latent_channels,
    sampleSize: Array.isArray(c.sample_size) ? c.sample_size[0]! : c.sample_size,
    layers: c.layers_per_block,
    groups: c.norm_num_groups,
    scalingFactor: c.scaling_factor,
    statistics: statisticsOf(c, file),
    quantConv: c.use_quant_conv,
    postQuantConv: c.use_post_quant_conv,
    midAttention: c.mid_block_add_attention,
  };
}

/** Both lists or none, a number per channel. */
function statisticsOf(
  { latents_mean: mean, latents_std: std, latent_channels: channels }: z.infer<typeof schema>,
  file: string,
): LatentStatistics | undefined {
  for (const [field, given, other] of [
    ["latents_mean", mean, std],
    ["latents_std", std, mean],
  ] as const) {
    if (given == null && other == null) return undefined;
    if (given?.length === channels) continue;
    const got = given == null ? "none" : String(given.length);
    const rule = `${field}: must have ${channels} numbers, one per channel, got ${got}`;
    throw new ModelError(file, `${rule}. latents_mean and latents_std belong together.`);
  }
  return mean && std ? { mean, std } : undefined;
}

/** The autoencoder's norms have a smaller epsilon than the U-Net's. */
const norm = (c: VaeConfig) => ({ groups: c.groups, eps: 1e-6 });

/** image: [B, 3, 8h, 8w] in -1..1 -> mean and log-variance of the latents, concatenated: [B, 2 * 4, h, w] */
export function encode(p: Params, c: VaeConfig, image: Tensor): Tensor {
  const e = p.at("encoder");
  let h = conv2d(e.at("conv_in"), image, c.channels[0]!);
  for (const [i, channels] of c.channels.entries()) {
    const last = i === c.channels.length - 1;
    h = down(e.at("down_blocks", i), c, h, channels, last);
  }
  h = middle(e.at("mid_block"), c, h);
  h = silu(groupNorm(e.at("conv_norm_out"), h, norm(c)));
  h = conv2d(e.at("conv_out"), h, 2 * c.latentChannels);
  return c.quantConv ? conv2d(p.at("quant_conv"), h, 2 * c.latentChannels, { kernel: 1 }) : h;
}

/** latents: [B, 4, h, w], already divided by the scaling factor -> image: [B, 3, 8h, 8w] in -1..1 */
export function decode(p: Params, c: VaeConfig, latents: Tensor): Tensor {
  const d = p.at("decoder");
  const z = c.postQuantConv
    ? conv2d(p.at("post_quant_conv"), latents, c.latentChannels, { kernel: 1 })
    : latents;
  let h = middle(d.at("mid_block"), c, conv2d(d.at("conv_in"), z, c.channels.at(-1)!));
  for (const [i, channels] of [...c.channels].reverse().entries()) {
    const last = i === c.channels.length - 1;
    h = up(d.at("up_blocks", i), c, h, channels, last);
  }
  return conv2d(d.at("conv_out"), silu(groupNorm(d.at("conv_norm_out"), h, norm(c))), c.outChannels);
}

function down(p: Params, c: VaeConfig, x: Tensor, channels: number, last: boolean): Tensor {
  return p.layer(() => {
    let h = x;
    for (let j = 0; j < c.layers; j++) h = resnet(p.at("resnets", j), h, undefined, channels, norm(c));
    if (last) return h;
    const sampler = p.at("downsamplers.0"); // zeros at the right and the bottom only
    return sampler.layer(() => conv2d(sampler.at("conv"), h, channels, { stride: 2, padding: [0, 0, 1, 1] }));
  });
}

function up(p: Params, c: VaeConfig, x: Tensor, channels: number, last: boolean): Tensor {
  return p.layer(() => {
    let h = x;
    for (let j = 0; j <= c.layers; j++) h = resnet(p.at("resnets", j), h, undefined, channels, norm(c));
    if (last) return h;
    return p.at("upsamplers.0").layer(() => conv2d(p.at("upsamplers.0.conv"), upsample(h, 2), channels));
  });
}

function middle(p: Params, c: VaeConfig, x: Tensor): Tensor {
  const C = x.shape[1]!;
  return p.layer(() => {
    let h = resnet(p.at("resnets.0"), x, undefined, C, norm(c));
    if (c.midAttention) h = attend(p.at("attentions.0"), c, h);
    return resnet(p.at("resnets.1"), h, undefined, C, norm(c));
  });
}

/** Self-attention over all pixels, in one head. x: [B, C, H, W] */
function attend(p: Params, c: VaeConfig, x: Tensor): Tensor {
  const C = x.shape[1]!;
  return p.layer(() => {
    const h = tokens(groupNorm(p.at("group_norm"), x, norm(c)));
    const [q, k, v] = ["to_q", "to_k", "to_v"].map((n) => linear(p.at(n), h, C)) as [Tensor, Tensor, Tensor];
    return add(pixels(linear(p.at("to_out.0"), attention(q, k, v, 1), C), x), x);
  });
}

/** Names in the middle attention before Diffusers 0.18, and their present names. */
const oldNames = new Map([
  ["query", "to_q"],
  ["key", "to_k"],
  ["value", "to_v"],
  ["proj_attn", "to_out.0"],
]);

/** The present name of a tensor in an old file. */
export const currentVaeName = (name: string): string =>
  name.replace(
    /(mid_block\.attentions\.\d+\.)(query|key|value|proj_attn)(?=\.)/,
    (_, at: string, old: string) => at + oldNames.get(old)!,
  );
