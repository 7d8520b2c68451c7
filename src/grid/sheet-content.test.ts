/** @file What a grid's sheet says of the settings that all its cells share. */

import { expect, it } from "vitest";
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

it("the caption leaves out what varies and says what all cells begin with", () => {
  expect(gridCaption(base, axes)).toBe("nano, 128 × 64, 10 steps, guidance 2");
  const image = { ...base, image: "iVBORw0KGgo=", strength: 0.6 };
  expect(gridCaption(image, axes)).toMatch(/guidance 2, beginning with an image at strength 0\.6$/);
  expect(gridCaption({ ...image, mask: "iVBORw0KGgo=" }, axes)).toMatch(
    /an image and a mask at strength 0\.6$/,
  );
  expect(gridCaption({ ...base, strength: 0.6 }, axes)).not.toContain("strength");
});

it("A1111's fields have the strength only where there is an image", () => {
  const strength = (change: object) =>
    sheetFields({ ...base, strength: 0.6, ...change }, axes).get("Denoising strength");
  expect([strength({}), strength({ image: "iVBORw0KGgo=" })]).toEqual([undefined, "0.6"]);
});
