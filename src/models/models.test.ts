/** @file The networks, traced from the published configs without weights: parameter counts and refused configs. */

import { describe, expect, it } from "vitest";
import { input } from "../tensor/operations.js";
import { manifest } from "../tensor/params.js";
import { clipConfig, clipText } from "./clip.js";
import { parameters } from "./cost.js";
import { knownTextEncoders, knownUnets, knownVae } from "./known.js";
import { traceUnet } from "./trace.js";
import { unetConfig } from "./unet-config.js";
import { decode, encode, vaeConfig } from "./vae.js";

describe("the U-Net's weights have the published count", () => {
  it.each([
    ["SD 2", 865_910_724, 686],
    ["SDXL", 2_567_463_684, 1680],
    ["BK-SDXL", 1_717_277_764, 1110],
    ["KOALA-1B", 1_161_184_324, 790],
    ["KOALA-700M", 782_822_724, 584],
  ] as const)("%s: %i parameters in %i tensors", (name, published, tensors) => {
    const weights = manifest((p) => traceUnet(p, unetConfig(knownUnets[name]), { height: 16, width: 16 }));
    expect(parameters(weights)).toBe(published);
    expect(weights.size).toBe(tensors);
  });
});

describe("the text encoder's weights have the published count", () => {
  it.each([
    ["CLIP ViT-L", 123_060_480],
    ["OpenCLIP ViT-bigG", 694_659_840],
    ["OpenCLIP ViT-H", 340_387_840],
  ] as const)("%s: %i parameters", (name, published) => {
    const { config, projected } = knownTextEncoders[name];
    const ids = input("ids", [1, 77], "int64");
    expect(parameters(manifest((p) => clipText(p, clipConfig(config, { projected }), ids)))).toBe(published);
  });
});

describe("the autoencoder", () => {
  it("has 83,653,863 parameters", () => {
    const c = vaeConfig(knownVae);
    const weights = manifest((p) => {
      encode(p, c, input("image", [1, 3, 64, 64]));
      decode(p, c, input("latents", [1, 4, 8, 8]));
    });
    expect(parameters(weights)).toBe(83_653_863);
  });
});

describe("a config with a value that is not implemented is refused by the field's name", () => {
  const refused = [
    ["act_fn", "gelu"],
    ["resnet_time_scale_shift", "scale_shift"],
    ["encoder_hid_dim", 768],
    ["dual_cross_attention", true],
    ["attention_head_dim", [5, 10]],
    ["norm_num_groups", 7],
    ["cross_attention_norm", "layer_norm"],
    ["layers_per_block", "2"],
    ["a_field_from_the_future", 3],
  ] as const;
  it.each(refused)("%s: %j", (field, value) => {
    expect(() => unetConfig({ ...knownUnets.SDXL, [field]: value })).toThrow(
      new RegExp(`unet/config.json: ${field}`),
    );
  });
});
