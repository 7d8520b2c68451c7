/** @file Zooming and panning of the large view. */

import { describe, expect, it } from "vitest";
import { fitted, withinStage, zoomedBy } from "./zoom.js";

const image = { width: 100, height: 50 };
const stage = { width: 400, height: 400 };

describe("the full view", () => {
  it("fits an image by its longer side, also above its own size", () => {
    expect(fitted(image, stage)).toEqual({ scale: 4, x: 0, y: 0 });
    expect(fitted({ width: 800, height: 1600 }, stage).scale).toBe(0.25);
  });

  it("keeps the pixel under the pointer when it zooms", () => {
    const point = { x: 120, y: -30 };
    const before = { scale: 10, x: 40, y: 20 };
    const after = zoomedBy(before, 1.25, point, image, stage);
    const under = (zoom: typeof before) => [(point.x - zoom.x) / zoom.scale, (point.y - zoom.y) / zoom.scale];
    expect(after.scale).toBe(12.5);
    expect(under(after)[0]).toBeCloseTo(under(before)[0]!);
    expect(under(after)[1]).toBeCloseTo(under(before)[1]!);
  });

  it("zooms from half of the fitting or own size to 32 times", () => {
    const from = fitted(image, stage);
    expect(zoomedBy(from, 0.001, { x: 0, y: 0 }, image, stage).scale).toBe(0.5);
    expect(zoomedBy(from, 1000, { x: 0, y: 0 }, image, stage).scale).toBe(32);
  });

  it("leaves no gap beside an image that is larger than the stage, and centres a smaller one", () => {
    expect(withinStage({ scale: 8, x: 999, y: 999 }, image, stage)).toEqual({ scale: 8, x: 200, y: 0 });
    expect(withinStage({ scale: 8, x: -999, y: 0 }, image, stage).x).toBe(-200);
  });
});
