/** @file The warning of sizes that a model was not trained at. */

import { describe, expect, it } from "vitest";
import { sizeWarning } from "./size-warning.js";

describe("the warning of a size", () => {
  const trained = { width: 128, height: 128 };

  it("names both sizes where a side is more than twice the model's", () => {
    expect(sizeWarning({ width: 128, height: 264 }, trained)).toContain(
      "size: 128 x 264 is far above the 128 x 128",
    );
    expect(sizeWarning({ width: 1024, height: 1024 }, trained)).toBeDefined();
  });

  it("is absent up to twice the model's size, and for small ones", () => {
    expect(sizeWarning({ width: 256, height: 256 }, trained)).toBeUndefined();
    expect(sizeWarning({ width: 64, height: 8 }, trained)).toBeUndefined();
  });
});
