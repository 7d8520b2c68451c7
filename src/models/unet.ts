/**
 * @file The conditional U-Net of Stable Diffusion 1, 2 and XL and of KOALA: predicts the noise in latents.
 *
 * Weight paths are those of `unet/diffusion_pytorch_model.safetensors` in the diffusers layout.
 * B batch, C channels, H and W latent pixels, N text tokens, D text width, E time-embedding width.
 */

import { conv2d, groupNorm, layerNorm, linear, perChannel, pixels, sinusoid, tokens } from "../nn.js";
import * as t from "../tensor/operations.js";
import { add, chunk, concat, gelu, mul, reshape, resize, silu } from "../tensor/operations.js";
import type { Params } from "../tensor/params.js";
import type { Tensor } from "../tensor/tensor.js";
import type { Stage, UNetConfig } from "./unet-config.js";

/** The arguments of Diffusers' `UNet2DConditionModel`. */
export type UnetInputs = {
  /** Noisy latents: [B, 4, H, W] */
  sample: Tensor;
  /** [B] */
  timestep: Tensor;
  /** Text embeddings: [B, N, D] */
  encoderHiddenStates: Tensor;
  /** The embedding of the guidance scale, for a U-Net with `time_cond_proj_dim`: [B, that] */
  timestepCond?: Tensor;
  /** SDXL's additions to the time embedding. */
  addedCondKwargs?: AddedCondKwargs;
};

type AddedCondKwargs = {
  /** The pooled text embedding: [B, P] */
  textEmbeds: Tensor;
  /** Original size, crop and target size, each (height, width): [B, 6] */
  timeIds: Tensor;
};

/** -> the prediction: [B, 4, H, W] */
export function unet(p: Params, c: UNetConfig, inputs: UnetInputs): Tensor {
  const { sample, encoderHiddenStates: text } = inputs;
  const temb = silu(timeEmbedding(p, c, inputs)); // [B, E]

  const x = c.centerInput ? t.sub(mul(sample, 2), 1) : sample;
  let h = conv2d(p.at("conv_in"), x, c.down[0]!.channels);
  const skips = [h];

  for (const [i, stage] of c.down.entries())
    h = down(p.at("down_blocks", i), c, stage, h, temb, text, skips, i === c.down.length - 1);

  if (c.mid) h = middle(p.at("mid_block"), c, c.mid, h, temb, text);

  for (const [i, stage] of c.up.entries()) h = up(p.at("up_blocks", i), c, stage, h, temb, text, skips);

  h = silu(groupNorm(p.at("conv_norm_out"), h, c.norm));
  return conv2d(p.at("conv_out"), h, c.outChannels);
}

/** timestep: [B] -> [B, E] */
function timeEmbedding(p: Params, c: UNetConfig, inputs: UnetInputs): Tensor {
  const { timestep, timestepCond, addedCondKwargs: added } = inputs;
  const width = c.down[0]!.channels;
  const wave = p.at("time_proj").layer(() => sinusoid(timestep, width, c.time));
  const time = p.at("time_embedding");
  if ((c.guidanceEmbedding === undefined) !== (timestepCond === undefined))
    throw new Error("internal: timestepCond belongs to a U-Net with time_cond_proj_dim");
  const seen = timestepCond
    ? add(wave, linear(time.at("cond_proj"), timestepCond, width, { bias: false }))
    : wave;
  const temb = mlp(time, seen, c.timeWidth);
  if (!c.added) return temb;
  if (!added) throw new Error("internal: this U-Net needs addedCondKwargs");
  const ids = reshape(added.timeIds, [-1]);
  const waves = p.at("add_time_proj").layer(() => sinusoid(ids, c.added!.sinusoid, c.time)); // [B * 6, sinusoid]
  const sizes = reshape(waves, [t.dim(added.timeIds, 0), 6 * c.added.sinusoid]);
  return add(temb, mlp(p.at("add_embedding"), concat([added.textEmbeds, sizes], 1), c.timeWidth));
}

const mlp = (p: Params, x: Tensor, out: number) =>
  p.layer(() => linear(p.at("linear_2"), silu(linear(p.at("linear_1"), x, out)), out));

/** Pushes its results onto `skips`, from which the way up takes them. */
function down(
  p: Params,
  c: UNetConfig,
  stage: Stage,
  x: Tensor,
  temb: Tensor,
  text: Tensor,
  skips: Tensor[],
  last: boolean,
): Tensor {
  return p.layer(() => {
    let h = x;
    for (let j = 0; j < stage.resnets; j++) {
      h = resnet(p.at("resnets", j), h, temb, stage.channels, c.norm);
      if (stage.depths) h = transformer(p.at("attentions", j), c, stage, stage.depths[j]!, h, text);
      skips.push(h);
    }
    if (last) return h;
    h = p
      .at("downsamplers.0")
      .layer(() => conv2d(p.at("downsamplers.0.conv"), h, stage.channels, { stride: 2 }));
    skips.push(h);
    return h;
  });
}

function middle(p: Params, c: UNetConfig, stage: Stage, x: Tensor, temb: Tensor, text: Tensor): Tensor {
  return p.layer(() => {
    let h = resnet(p.at("resnets.0"), x, temb, stage.channels, c.norm);
    if (!stage.depths) return h;
    h = transformer(p.at("attentions.0"), c, stage, stage.depths[0]!, h, text);
    return resnet(p.at("resnets.1"), h, temb, stage.channels, c.norm);
  });
}

/** Takes its skips from the end of `skips`, and upsamples to the size of the next one there. */
function up(
  p: Params,
  c: UNetConfig,
  stage: Stage,
  x: Tensor,
  temb: Tensor,
  text: Tensor,
  skips: Tensor[],
): Tensor {
  return p.layer(() => {
    let h = x;
    for (let j = 0; j < stage.resnets; j++) {
      const wide = p.at("resnets", j).layer(() => concat([h, skips.pop()!], 1));
      h = resnet(p.at("resnets", j), wide, temb, stage.channels, c.norm);
      if (stage.depths) h = transformer(p.at("attentions", j), c, stage, stage.depths[j]!, h, text);
    }
    const skip = skips.at(-1);
    if (!skip) return h;
    return p
      .at("upsamplers.0")
      .layer(() => conv2d(p.at("upsamplers.0.conv"), resize(h, skip), stage.channels));
  });
}

type Norm = { groups: number; eps: number };

/** x: [B, C, H, W], temb: [B, E], already through its activation -> [B, out, H, W] */
export function resnet(p: Params, x: Tensor, temb: Tensor | undefined, out: number, norm: Norm): Tensor {
  return p.layer(() => {
    let h = conv2d(p.at("conv1"), silu(groupNorm(p.at("norm1"), x, norm)), out);
    if (temb) h = add(h, perChannel(linear(p.at("time_emb_proj"), temb, out)));
    h = conv2d(p.at("conv2"), silu(groupNorm(p.at("norm2"), h, norm)), out);
    return add(x.shape[1] === out ? x : conv2d(p.at("conv_shortcut"), x, out, { kernel: 1 }), h);
  });
}

/** x: [B, C, H, W], text: [B, N, D] -> [B, C, H, W] */
function transformer(p: Params, c: UNetConfig, stage: Stage, depth: number, x: Tensor, text: Tensor): Tensor {
  const C = stage.channels;
  return p.layer(() => {
    const normed = groupNorm(p.at("norm"), x, { groups: c.norm.groups, eps: 1e-6 });
    let h = c.linearProjection
      ? linear(p.at("proj_in"), tokens(normed), C)
      : tokens(conv2d(p.at("proj_in"), normed, C, { kernel: 1 }));
    for (let i = 0; i < depth; i++) h = block(p.at("transformer_blocks", i), stage, h, text);
    const out = c.linearProjection
      ? pixels(linear(p.at("proj_out"), h, C), x)
      : conv2d(p.at("proj_out"), pixels(h, x), C, { kernel: 1 });
    return add(out, x);
  });
}

/** x: [B, H*W, C], text: [B, N, D] -> [B, H*W, C] */
function block(p: Params, stage: Stage, x: Tensor, text: Tensor): Tensor {
  return p.layer(() => {
    const normed = layerNorm(p.at("norm1"), x);
    let h = add(attend(p.at("attn1"), stage.heads, normed, normed), x);
    h = add(attend(p.at("attn2"), stage.heads, layerNorm(p.at("norm2"), h), text), h);
    return add(feedForward(p.at("ff"), layerNorm(p.at("norm3"), h)), h);
  });
}

/** x: [B, N, C], context: [B, M, D] -> [B, N, C] */
function attend(p: Params, heads: number, x: Tensor, context: Tensor): Tensor {
  const C = x.shape.at(-1)!;
  return p.layer(() => {
    const q = linear(p.at("to_q"), x, C, { bias: false });
    const k = linear(p.at("to_k"), context, C, { bias: false });
    const v = linear(p.at("to_v"), context, C, { bias: false });
    return linear(p.at("to_out.0"), t.attention(q, k, v, heads), C);
  });
}

/** GEGLU (Shazeer 2020): half of a wide projection gates the other half. x: [B, N, C] -> [B, N, C] */
function feedForward(p: Params, x: Tensor): Tensor {
  const C = x.shape.at(-1)!;
  return p.layer(() => {
    const gated = p.at("net.0").layer(() => {
      const [value, gate] = chunk(linear(p.at("net.0.proj"), x, 8 * C), 2, 2) as [Tensor, Tensor];
      return mul(value, gelu(gate));
    });
    return linear(p.at("net.2"), gated, C);
  });
}
