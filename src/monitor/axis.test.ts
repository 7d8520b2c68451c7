/** @file Tests of axes: ranges, positions, ticks and labels. */

import { describe, expect, it } from "vitest";
import { position, scaleFor, short, ticks } from "./axis.js";

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

  it("writes numbers in few characters", () => {
    expect([0, 1e-5, 2.5e-6, 0.125, 1234, 12500, 2e6, 3e9].map((v) => short(v))).toEqual(
      ["0", "1e-5", "2.5e-6", "0.125", "1230", "12.5k", "2M", "3e9"], //
    );
  });
});
