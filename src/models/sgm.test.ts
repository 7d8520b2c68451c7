/** @file The names of layers in sgm, as in Stability's configs and in files that kohya's scripts write. */

import { describe, expect, it } from "vitest";
import { knownUnets } from "./known.js";
import { sgmNames } from "./sgm.js";
import { unetConfig } from "./unet-config.js";

const attn = "transformer_blocks.0.attn1.to_q";

describe("the sgm name of a layer", () => {
  it.each([
    ["conv_in", "input_blocks.0.0"],
    ["time_embedding.linear_2", "time_embed.2"],
    ["add_embedding.linear_1", "label_emb.0.0"],
    ["down_blocks.0.resnets.0.conv1", "input_blocks.1.0.in_layers.2"],
    ["down_blocks.0.resnets.1.time_emb_proj", "input_blocks.2.0.emb_layers.1"],
    ["down_blocks.0.downsamplers.0.conv", "input_blocks.3.0.op"],
    [`down_blocks.1.attentions.0.${attn}`, `input_blocks.4.1.${attn}`],
    ["down_blocks.1.resnets.0.conv_shortcut", "input_blocks.4.0.skip_connection"],
    [`down_blocks.2.attentions.1.${attn}`, `input_blocks.8.1.${attn}`],
    ["mid_block.resnets.1.conv2", "middle_block.2.out_layers.3"],
    ["mid_block.attentions.0.proj_in", "middle_block.1.proj_in"],
    [`up_blocks.0.attentions.2.${attn}`, `output_blocks.2.1.${attn}`],
    ["up_blocks.0.upsamplers.0.conv", "output_blocks.2.2.conv"],
    ["up_blocks.1.attentions.0.proj_out", "output_blocks.3.1.proj_out"],
    ["up_blocks.2.resnets.2.norm2", "output_blocks.8.0.out_layers.0"],
    ["conv_out", "out.2"],
  ])("of SDXL: %s is %s", (path, name) => {
    expect(sgmNames(unetConfig(knownUnets.SDXL))(path)).toBe(name);
  });

  // One residual block per stage on the way down and two on the way up: 3 stages take 5 input and 6 output blocks.
  it.each([
    ["down_blocks.0.downsamplers.0.conv", "input_blocks.2.0.op"],
    [`down_blocks.1.attentions.0.${attn}`, `input_blocks.3.1.${attn}`],
    [`down_blocks.2.attentions.0.${attn}`, `input_blocks.5.1.${attn}`],
    [`up_blocks.0.attentions.1.${attn}`, `output_blocks.1.1.${attn}`],
    ["up_blocks.0.upsamplers.0.conv", "output_blocks.1.2.conv"],
    [`up_blocks.1.attentions.0.${attn}`, `output_blocks.2.1.${attn}`],
    ["up_blocks.2.resnets.1.conv1", "output_blocks.5.0.in_layers.2"],
  ])("of KOALA-700M: %s is %s", (path, name) => {
    expect(sgmNames(unetConfig(knownUnets["KOALA-700M"]))(path)).toBe(name);
  });

  it("of SD 2 has the upsampler of a stage without attention second", () => {
    const name = sgmNames(unetConfig(knownUnets["SD 2"]));
    expect(name("up_blocks.0.upsamplers.0.conv")).toBe("output_blocks.2.1.conv");
    expect(name("up_blocks.1.upsamplers.0.conv")).toBe("output_blocks.5.2.conv");
  });

  it("is none for a path that the U-Net does not have", () => {
    const name = sgmNames(unetConfig(knownUnets["KOALA-1B"]));
    expect(name("down_blocks.1.resnets.1.conv1")).toBeUndefined();
    expect(name("down_blocks.2.downsamplers.0.conv")).toBeUndefined();
    expect(name("nothing")).toBeUndefined();
  });
});
