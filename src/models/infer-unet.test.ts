/** @file A U-Net's topology, family and config, read from the names and shapes that the published configs give. */

import { describe, expect, it } from "vitest";
import { manifest } from "../tensor/params.js";
import { unetFamily } from "./family.js";
import { inferredUnetConfig, type Shapes, unetTopology } from "./infer-unet.js";
import { knownUnets } from "./known.js";
import { diffusersNames, sgmNames } from "./sgm.js";
import { traceUnet } from "./trace.js";
import { unetConfig } from "./unet-config.js";

const sd1 = { cross_attention_dim: 768, sample_size: 64 };
const { transformer_layers_per_block: _, ...xl } = knownUnets.SDXL;
const ssd1b = {
  ...xl,
  mid_block_type: "UNetMidBlock2D",
  transformer_layers_per_block: [0, 2, 4],
  reverse_transformer_layers_per_block: [[4, 4, 10], [2, 1, 1], 0],
};
const vega = { ...xl, mid_block_type: "UNetMidBlock2D", transformer_layers_per_block: [0, 1, 2] };

/** The shapes of a config's U-Net under sgm's names. */
function original(json: object): Shapes {
  const config = unetConfig(json);
  const name = sgmNames(config);
  const shapes = manifest((p) => traceUnet(p, config));
  return new Map(
    [...shapes].map(([path, shape]) => {
      const dot = path.lastIndexOf(".");
      return [name(path.slice(0, dot)) + path.slice(dot), shape];
    }),
  );
}

const published = [
  ["Stable Diffusion 1", sd1],
  ["Stable Diffusion 2", knownUnets["SD 2"]],
  ["SDXL", knownUnets.SDXL],
  ["BK-SDXL", knownUnets["BK-SDXL"]],
  ["KOALA-1B", knownUnets["KOALA-1B"]],
  ["KOALA-700M", knownUnets["KOALA-700M"]],
  ["SSD-1B", ssd1b],
  ["Segmind-Vega", vega],
] as const;

describe("the original names and shapes of a published U-Net", () => {
  it.each(published)("of %s show its family and its whole config", (family, json) => {
    const topology = unetTopology(original(json))!;
    expect(unetFamily(topology).name).toBe(family);
    const inferred = {
      ...inferredUnetConfig(topology),
      sample_size: (json as { sample_size?: number }).sample_size,
    };
    expect(unetConfig(inferred)).toEqual(unetConfig(json));
  });

  it.each(published)("of %s are Diffusers' again by the reverse names", (_family, json) => {
    const config = unetConfig(json);
    const [there, back] = [sgmNames(config), diffusersNames(config)];
    const paths = [...manifest((p) => traceUnet(p, config)).keys()].map((name) =>
      name.replace(/\.[^.]+$/, ""),
    );
    expect(paths.filter((path) => back(there(path)!) !== path)).toEqual([]);
  });

  it("agree with the counts of the real files", async () => {
    // golden/data/single/real-topologies.json, counted from the published files' configs.
    const { default: real } = await import("../../golden/data/single/real-topologies.json", {
      with: { type: "json" },
    });
    const names = {
      "stable-diffusion-xl-base-1.0": "SDXL",
      "koala-lightning-1b": "KOALA-1B",
      "koala-lightning-700m": "KOALA-700M",
      "stable-diffusion-2-1": "SD 2",
      "bk-sdxl": "BK-SDXL",
    } as const;
    for (const [file, name] of Object.entries(names)) {
      const facts = real[file as keyof typeof names];
      const shapes = original(knownUnets[name]);
      const topology = unetTopology(shapes)!;
      const depths = (stages: typeof topology.down) =>
        stages.flatMap((stage) => stage.depths.map((d) => d ?? 0));
      expect(shapes.size, file).toBe(facts.tensors);
      expect(depths(topology.down), file).toEqual(facts.input_depth);
      expect(depths(topology.up), file).toEqual(facts.output_depth);
      expect(topology.mid ?? null, file).toBe(facts.middle);
      expect(topology.addedWidth, file).toBe(facts.label_emb?.[1]);
    }
  });

  it("show no heads where channels are not whole heads, nor anything where blocks are missing", () => {
    const small = {
      ...knownUnets["KOALA-1B"],
      block_out_channels: [32, 48, 64],
      attention_head_dim: [2, 3, 2],
      norm_num_groups: 8,
    };
    expect(inferredUnetConfig(unetTopology(original(small))!)).toBeUndefined();
    const shapes = new Map(original(knownUnets["KOALA-1B"]));
    shapes.delete("out.2.weight");
    expect(unetTopology(shapes)).toBeUndefined();
  });
});
