/** @file Smoothing, thinning and axes against their closed forms. */

import { describe, expect, it } from "vitest";
import { position, scaleFor, short, ticks } from "./axis.js";
import { extremes, factorFor, smoothed } from "./series.js";

describe("smoothing", () => {
  it("is the weighted mean of the values so far", () => {
    const [a, b, c] = smoothed([2, 4, 10], 0.5) as [number, number, number];
    expect(a).toBeCloseTo(2, 12);
    expect(b).toBeCloseTo((0.5 * 2 + 4) / 1.5, 12);
    expect(c).toBeCloseTo((0.25 * 2 + 0.5 * 4 + 10) / 1.75, 12);
  });

  it("leaves a constant as it is, from the first value on", () => {
    for (const value of smoothed(Array(50).fill(3), 0.99)) expect(value).toBeCloseTo(3, 10);
  });

  it("changes nothing at factor 0, which is a window of one value", () => {
    expect(smoothed([1, 5, -2], factorFor(1))).toEqual([1, 5, -2]);
  });

  it("passes over a value that is not finite", () => {
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

describe("an axis", () => {
  it("is logarithmic where positive values span more than a factor of 10", () => {
    expect(scaleFor([[1, 11]], "auto").kind).toBe("log");
    expect(scaleFor([[1, 9]], "auto").kind).toBe("linear");
    expect(scaleFor([[0, 1, 100]], "log").kind).toBe("linear");
    expect(scaleFor([[1, 2, Number.NaN]], "log").kind).toBe("log");
  });

  it("places the geometric mean in the middle of a log axis", () => {
    const scale = { kind: "log", low: 0.01, high: 100 } as const;
    expect(position(scale, 1)).toBeCloseTo(0.5, 12);
    expect(position(scale, 0)).toBeNaN();
    expect(position({ ...scale, kind: "linear" }, 50.005)).toBeCloseTo(0.5, 12);
  });

  it("holds every value, also when all are equal or none is finite", () => {
    for (const values of [[5, 5], [0], [-3, 8], [1e-9, 1], [Number.NaN], []]) {
      const scale = scaleFor([values], "auto");
      expect(scale.low).toBeLessThan(scale.high);
      for (const value of values.filter(Number.isFinite)) {
        expect(position(scale, value)).toBeGreaterThanOrEqual(0);
        expect(position(scale, value)).toBeLessThanOrEqual(1);
      }
    }
  });

  it("has round ticks", () => {
    expect(ticks({ kind: "linear", low: 0, high: 1840 }, 4)).toEqual([0, 500, 1000, 1500]);
    expect(ticks({ kind: "log", low: 0.05, high: 20 }, 4)).toEqual([0.1, 1, 10]);
    expect(ticks({ kind: "linear", low: 0, high: 1e-5 }, 2).map((v) => short(v))).toEqual([
      "0",
      "5e-6",
      "1e-5",
    ]);
  });

  it("writes numbers shortly", () => {
    expect([0, 1e-5, 2.5e-6, 0.125, 1234, 12500, 2e6, 3e9].map((v) => short(v))).toEqual(
      ["0", "1e-5", "2.5e-6", "0.125", "1230", "12.5k", "2M", "3e9"], //
    );
  });
});
