/** @file Feature pairs against golden/data/distil/features-*.json. */

import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { InvalidRequest } from "../errors.js";
import { knownUnets } from "../models/known.js";
import { unetConfig } from "../models/unet-config.js";
import { type FeaturePair, type FeatureSet, featurePairs, featureSets } from "./features.js";

const golden = new URL("../../golden/data/distil/", import.meta.url).pathname;
const teacher = unetConfig(knownUnets.SDXL);

describe.each([
  ["1b", "KOALA-1B"],
  ["700m", "KOALA-700M"],
] as const)("feature pairs of %s", (which, known) => {
  const { sets } = JSON.parse(readFileSync(`${golden}features-${which}.json`, "utf8")) as {
    sets: Record<FeatureSet, FeaturePair[]>;
  };
  const student = unetConfig(knownUnets[known]);

  it.each(featureSets.filter((set) => set !== "none"))("%s", (set) => {
    const wanted = sets[set].map(({ stage, student, teacher }) => ({ stage, student, teacher }));
    expect(featurePairs(student, teacher, set)).toEqual(wanted);
  });

  it("are none for the set none", () => {
    expect(featurePairs(student, teacher, "none")).toEqual([]);
  });

  it("are all of the golden file's sets", () => {
    expect([...featureSets].filter((set) => set !== "none").sort()).toEqual(Object.keys(sets).sort());
  });
});

describe("what cannot be compared is refused", () => {
  const narrow = unetConfig({
    ...knownUnets["KOALA-700M"],
    block_out_channels: [320, 640, 640],
    attention_head_dim: 10,
  });
  const deep = unetConfig({ ...knownUnets["KOALA-1B"], transformer_layers_per_block: [0, 2, 12] });
  const withoutMiddle = unetConfig({ ...knownUnets.SDXL, mid_block_type: null });

  it.each([
    ["another width", narrow, teacher, /got 640 and 1280 channels at down_blocks.2/],
    ["a layer beyond the teacher's", deep, teacher, /transformer_blocks.10.attn1/],
    ["a middle block that the teacher lacks", unetConfig(knownUnets["KOALA-1B"]), withoutMiddle, /mid_block/],
  ])("%s", (_, student, from, problem) => {
    expect(() => featurePairs(student, from, "sa")).toThrow(InvalidRequest);
    expect(() => featurePairs(student, from, "sa")).toThrow(problem);
  });
});
