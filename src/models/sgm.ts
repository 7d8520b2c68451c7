/**
 * @file The names of a U-Net's layers in Stability's own code (sgm, "original" checkpoints), which numbers all blocks
 * consecutively, where Diffusers numbers stages. Independent of weights.
 */

import type { UNetConfig } from "./unet-config.js";

/** sgm's names inside a residual block. */
const inResnet: Readonly<Record<string, string>> = {
  norm1: "in_layers.0",
  conv1: "in_layers.2",
  time_emb_proj: "emb_layers.1",
  norm2: "out_layers.0",
  conv2: "out_layers.3",
  conv_shortcut: "skip_connection",
};

/** sgm's names of layers outside of blocks. */
const single: Readonly<Record<string, string>> = {
  "time_embedding.linear_1": "time_embed.0",
  "time_embedding.linear_2": "time_embed.2",
  "add_embedding.linear_1": "label_emb.0.0",
  "add_embedding.linear_2": "label_emb.0.2",
  conv_in: "input_blocks.0.0",
  conv_norm_out: "out.0",
  conv_out: "out.2",
};

/** Maps a layer's path in Diffusers to its path in sgm, for this U-Net; undefined for a path it does not have. */
export function sgmNames(c: UNetConfig): (path: string) => string | undefined {
  const blocks = sgmBlocks(c);
  return (path) => {
    const [, block, inner] = /^(.*?(?:resnets|attentions|samplers)\.\d+)\.(.+)$/.exec(path) ?? [];
    if (block === undefined || inner === undefined) return single[path];
    const at = blocks.get(block);
    if (at === undefined) return undefined;
    if (block.includes("downsamplers")) return `${at}.op`;
    const name = block.includes("resnets") ? inResnet[inner] : inner;
    return name && `${at}.${name}`;
  };
}

/** The reverse: maps a layer's path in sgm to its path in Diffusers; undefined for a path that this U-Net does not have. */
export function diffusersNames(c: UNetConfig): (path: string) => string | undefined {
  const blocks = reversed(sgmBlocks(c));
  const [layers, outside] = [reversed(Object.entries(inResnet)), reversed(Object.entries(single))];
  return (path) => {
    const known = outside.get(path);
    if (known !== undefined) return known;
    const [, at = "", inner = ""] =
      /^((?:in|out)put_blocks\.\d+\.\d+|middle_block\.\d+)\.(.+)$/.exec(path) ?? [];
    const block = blocks.get(at);
    if (block === undefined) return undefined;
    const name = block.includes("resnets")
      ? layers.get(inner)
      : block.includes("downsamplers")
        ? inner === "op"
          ? "conv"
          : undefined
        : inner;
    return name && `${block}.${name}`;
  };
}

const reversed = (pairs: Iterable<readonly [string, string]>): ReadonlyMap<string, string> =>
  new Map([...pairs].map(([key, value]) => [value, key]));

/** sgm's path of each residual block, transformer and sampler. */
function sgmBlocks(c: UNetConfig): Map<string, string> {
  const at = new Map<string, string>();
  let n = 1; // input block 0 is conv_in
  for (const [i, stage] of c.down.entries()) {
    for (let j = 0; j < stage.resnets; j++, n++) {
      at.set(`down_blocks.${i}.resnets.${j}`, `input_blocks.${n}.0`);
      at.set(`down_blocks.${i}.attentions.${j}`, `input_blocks.${n}.1`);
    }
    if (i < c.down.length - 1) at.set(`down_blocks.${i}.downsamplers.0`, `input_blocks.${n++}.0`);
  }
  at.set("mid_block.resnets.0", "middle_block.0");
  at.set("mid_block.attentions.0", "middle_block.1");
  at.set("mid_block.resnets.1", "middle_block.2");
  n = 0;
  for (const [i, stage] of c.up.entries()) {
    for (let j = 0; j < stage.resnets; j++, n++) {
      at.set(`up_blocks.${i}.resnets.${j}`, `output_blocks.${n}.0`);
      at.set(`up_blocks.${i}.attentions.${j}`, `output_blocks.${n}.1`);
    }
    // The upsampler belongs to the stage's last block, behind its transformer where it has one.
    at.set(`up_blocks.${i}.upsamplers.0`, `output_blocks.${n - 1}.${stage.depths ? 2 : 1}`);
  }
  return at;
}
