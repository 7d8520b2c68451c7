/** @file Tests of the page's preset sizes, file names (also in a ZIP file), durations and lists of settings. */

import { describe, expect, it } from "vitest";
import type { Model } from "../../src/jobs/model-schemas.js";
import type { GenerationSettings } from "../../src/jobs/schemas.js";
import { duration } from "./duration.js";
import { fileName } from "./images.js";
import { differingSettings } from "./setting-rows.js";
import { shapesOf } from "./shapes.js";
import { uniqueNames } from "./unique-names.js";

const model = (side: number, sizeMultiple = 8): Pick<Model, "defaults" | "sizeMultiple"> => ({
  sizeMultiple,
  defaults: { width: side, height: side, steps: 4, guidanceScale: 1, scheduler: "euler" },
});
const sizes = (side: number) => shapesOf(model(side)).map(({ width, height }) => `${width}x${height}`);

describe("shapesOf", () => {
  it("has about the default number of pixels, in multiples of 64 for a large model", () => {
    expect(sizes(1024)).toEqual(["1024x1024", "896x1152", "1152x896"]);
    expect(sizes(512)).toEqual(["512x512", "448x576", "576x448"]);
  });

  it("uses the model's own multiple if it is small", () => {
    expect(sizes(64)).toEqual(["64x64", "56x72", "72x56"]);
  });
});

describe("fileName", () => {
  it("consists of prompt and seed", () => {
    expect(fileName("A red bicycle!", "7")).toBe("a-red-bicycle-7.png");
    expect(fileName("红色的 自行车", "7")).toBe("红色的-自行车-7.png");
    expect(fileName("../../etc", "7")).toBe("etc-7.png");
    expect(fileName("", "7")).toBe("koala-7.png");
  });
});

describe("duration", () => {
  it("is rounded to seconds, or to minutes from ten minutes on", () => {
    expect([0.2, 8, 75, 700].map(duration)).toEqual(["1 s", "8 s", "1 min 15 s", "12 min"]);
    expect([3570, 3600, 7500].map(duration)).toEqual(["1 h 0 min", "1 h 0 min", "2 h 5 min"]);
  });
});

describe("differingSettings", () => {
  it("returns the labels of settings that are not the same", () => {
    const settings: GenerationSettings = {
      prompt: "a",
      model: "m",
      width: 64,
      height: 64,
      steps: 4,
      guidanceScale: 1,
      seed: "7",
      scheduler: "euler",
      count: 1,
      masked: false,
      rng: "cpu",
      outputFormat: "png",
    };
    const others = [settings, { ...settings, steps: 8, strength: 0.5 }];
    expect(differingSettings(others)).toEqual(new Set(["Steps", "Strength"]));
  });
});

describe("uniqueNames", () => {
  it("numbers repeated names, also those that differ in case alone or have a number already", () => {
    const names = ["cat-7.png", "Cat-7.png", "cat-7-2.png", "cat-7.png", "dog"];
    expect(uniqueNames(names)).toEqual(["cat-7.png", "Cat-7-2.png", "cat-7-2-2.png", "cat-7-3.png", "dog"]);
  });
});
