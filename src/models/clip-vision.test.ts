/** @file CLIP's two towers: the published counts of parameters, and configs as they are on the Hub. */

import { describe, expect, it } from "vitest";
import { input } from "../tensor/operations.js";
import { manifest } from "../tensor/params.js";
import { clipText } from "./clip.js";
import {
  type ClipModelConfig,
  clipModelConfig,
  clipVision,
  clipVisionConfig,
  projectImage,
} from "./clip-vision.js";
import { parameters } from "./cost.js";

const largeText = { hidden_size: 768, intermediate_size: 3072, num_attention_heads: 12 };
const largeVision = {
  ...{ hidden_size: 1024, intermediate_size: 4096, num_attention_heads: 16, num_hidden_layers: 24 },
  patch_size: 14,
};
const hugeText = {
  ...{ hidden_size: 1024, intermediate_size: 4096, num_attention_heads: 16, num_hidden_layers: 24 },
  hidden_act: "gelu",
};
const hugeVision = {
  ...{ hidden_size: 1280, intermediate_size: 5120, num_attention_heads: 16, num_hidden_layers: 32 },
  ...{ patch_size: 14, hidden_act: "gelu" },
};

function countOf({ text, vision }: ClipModelConfig): number {
  const { imageSize: side } = vision;
  return parameters(
    manifest((p) => {
      clipText(p, text, input("ids", [1, text.maxTokens], "int64"));
      const pooled = clipVision(p.at("vision_model"), vision, input("pixels", [1, 3, side, side]));
      projectImage(p.at("visual_projection"), vision, pooled);
    }),
  );
}

describe("CLIP's weights have the published count, less the scale of the logits", () => {
  it.each([
    ["ViT-B/32", {}, 151_277_313],
    ["ViT-L/14", { projection_dim: 768, text_config: largeText, vision_config: largeVision }, 427_616_513],
    [
      "OpenCLIP ViT-H/14, whose old config has what counts in another place",
      { projection_dim: 1024, text_config_dict: hugeText, vision_config_dict: hugeVision, text_config: {} },
      986_109_441,
    ],
  ] as const)("%s", (_, json, published) => {
    expect(countOf(clipModelConfig(json, "config.json"))).toBe(published - 1);
  });
});

describe("a config of CLIP", () => {
  it("may hold what every model of transformers holds", () => {
    const common = { return_dict: true, top_k: 50, id2label: { "0": "LABEL_0" }, pruned_heads: {} };
    expect(clipVisionConfig({ ...largeVision, ...common }, "config.json")).toEqual(
      clipVisionConfig(largeVision, "config.json"),
    );
  });

  it("is refused by name for what would change the result and is not implemented", () => {
    const config = (json: object) => () => clipModelConfig({ vision_config: json }, "config.json");
    expect(config({ pruned_heads: { "1": [0] } })).toThrow("config.json: vision_config: pruned_heads");
    expect(config({ hidden_act: "relu" })).toThrow('hidden_act: must be "gelu" or "quick_gelu"');
    expect(config({ num_channels: 4 })).toThrow("num_channels: must be 3");
    expect(config({ num_attention_heads: 7 })).toThrow("num_attention_heads: must divide hidden_size 768");
    expect(() => clipModelConfig({ model_type: "siglip" }, "config.json")).toThrow(
      'model_type: must be "clip"',
    );
  });
});
