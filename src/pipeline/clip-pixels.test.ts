/** @file The settings of image processors that would make other images are refused; `golden/clip.ts` has the pixels. */

import { expect, it } from "vitest";
import { clipPixels, clipProcessor } from "./clip-pixels.js";

const read = (json: object) => clipProcessor(json, "preprocessor_config.json", 224);

it("what makes images of another size than the model's is refused", () => {
  expect(() => read({ crop_size: 336 })).toThrow(
    "preprocessor_config.json: crop_size: must make images of the model's image_size 224, got 336.",
  );
  expect(() => read({ do_center_crop: false })).toThrow(
    "size: must make images of the model's image_size 224",
  );
  expect(() => read({ resample: 0 })).toThrow("resample: must be 1 (Lanczos), 2 (bilinear) or 3 (bicubic)");
  expect(() => read({ do_flip: true })).toThrow("do_flip: is not a supported field");
});

it("an image of a fixed size need not be cropped, and of one color has the normalised color everywhere", () => {
  const fixed = read({ do_center_crop: false, size: { height: 224, width: 224 } });
  const gray = { width: 300, height: 100, data: new Uint8Array(3 * 300 * 100).fill(51) };
  const pixels = clipPixels(gray, fixed);
  expect(pixels).toHaveLength(3 * 224 * 224);
  // (51 / 255 - mean) / std of the first channel, of OpenAI's model.
  const [first, last] = [pixels[0], pixels[224 * 224 - 1]];
  expect(first).toBeCloseTo((0.2 - 0.48145466) / 0.26862954, 6);
  expect(last).toBe(first);
});
