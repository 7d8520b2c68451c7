/** @file Tests of smoothing and thinning against their closed forms. */

import { describe, expect, it } from "vitest";
import { extremes, factorFor, smoothed } from "./series.js";

describe("smoothing", () => {
  it("is the weighted mean of the values so far", () => {
    const [a, b, c] = smoothed([2, 4, 10], 0.5) as [number, number, number];
    expect(a).toBeCloseTo(2, 12);
    expect(b).toBeCloseTo((0.5 * 2 + 4) / 1.5, 12);
    expect(c).toBeCloseTo((0.25 * 2 + 0.5 * 4 + 10) / 1.75, 12);
  });

  it("is the value itself for a constant series, from the first value on", () => {
    for (const value of smoothed(Array(50).fill(3), 0.99)) expect(value).toBeCloseTo(3, 10);
  });

  it("changes nothing at factor 0, which is a window of one value", () => {
    expect(smoothed([1, 5, -2], factorFor(1))).toEqual([1, 5, -2]);
  });

  it("skips a value that is not finite", () => {
    const [, gap, after] = smoothed([2, Number.NaN, 4], 0.5);
    expect(gap).toBeNaN();
    expect(after).toBeCloseTo((0.5 * 2 + 4) / 1.5, 12);
  });
});

describe("thinning", () => {
  const wave = Array.from({ length: 100_000 }, (_, i) => Math.sin(i / 9000));

  it("keeps a single spike, a single dip and a single gap among 100 000 values", () => {
    const values = wave.with(31_234, 50).with(77_001, -50).with(50_505, Number.NaN);
    const kept = extremes(values, 400);
    expect(kept).toEqual(expect.arrayContaining([0, 31_234, 50_505, 77_001, 99_999]));
    expect(kept.length).toBeLessThanOrEqual(400);
    expect(kept).toEqual([...new Set(kept)].sort((a, b) => a - b));
  });

  it("keeps everything that already fits", () => {
    expect(extremes([3, 1, 2], 8)).toEqual([0, 1, 2]);
  });
});
