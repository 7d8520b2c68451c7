/** @file The texts of a grid's sheet about the settings that all cells share. */

import { describe, expect, it } from "vitest";
import { gridCaption, sheetFields } from "./sheet-content.js";

const base = {
  prompt: "a cat",
  model: "nano",
  width: 128,
  height: 64,
  steps: 10,
  seed: "7",
  guidanceScale: 2,
};
const axes = { x: { kind: "seed", values: ["1", "2"] } } as const;

describe("a grid's sheet", () => {
  it("has a caption without the settings that vary, and with the initial image", () => {
    expect(gridCaption(base, axes)).toBe("nano, 128 × 64, 10 steps, guidance 2");
    const image = { ...base, image: "iVBORw0KGgo=", strength: 0.6 };
    expect(gridCaption(image, axes)).toMatch(/guidance 2, beginning with an image at strength 0\.6$/);
    expect(gridCaption({ ...image, mask: "iVBORw0KGgo=" }, axes)).toMatch(
      /an image and a mask at strength 0\.6$/,
    );
    expect(gridCaption({ ...base, strength: 0.6 }, axes)).not.toContain("strength");
  });

  it("has the strength in A1111's fields only where there is an image", () => {
    const strength = (change: object) =>
      sheetFields({ ...base, strength: 0.6, ...change }, axes).get("Denoising strength");
    expect([strength({}), strength({ image: "iVBORw0KGgo=" })]).toEqual([undefined, "0.6"]);
  });
});
