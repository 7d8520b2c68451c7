/** @file Intervals of a mean, against the normal approximation where it is good. */

import { describe, expect, it } from "vitest";
import { Generator } from "../diffusion/random.js";
import { estimate } from "./bootstrap.js";

describe("the interval of a mean", () => {
  it("of many numbers is 1.96 standard errors to either side, and the same each time", () => {
    const numbers = Array.from(new Generator(5).normal(200), (x) => 10 + 3 * x);
    const { mean, interval, prompts } = estimate(numbers);
    const variance = numbers.reduce((sum, x) => sum + (x - mean) ** 2, 0) / 199;
    const half = 1.96 * Math.sqrt(variance / 200);
    expect(prompts).toBe(200);
    expect(Math.abs(interval![0] - (mean - half))).toBeLessThan(0.1 * half);
    expect(Math.abs(interval![1] - (mean + half))).toBeLessThan(0.1 * half);
    expect(estimate(numbers)).toEqual({ mean, interval, prompts });
  });

  it("of shares that are all 100 % or none is Wilson's: of 10 successes in 10 it begins at 72.2 %", () => {
    const ten = (x: number) => new Array<number>(10).fill(x);
    const { interval } = estimate(ten(100), { percent: true });
    expect(interval![0]).toBeCloseTo(72.25, 2);
    expect(interval![1]).toBe(100);
    expect(estimate(ten(0), { percent: true }).interval![1]).toBeCloseTo(27.75, 2);
  });

  it("is not known of equal numbers, of one prompt, or of an infinite mean", () => {
    expect(estimate([4, 4, 4])).toEqual({ mean: 4, prompts: 3 });
    expect(estimate([7])).toEqual({ mean: 7, prompts: 1 });
    expect(estimate([1, Number.POSITIVE_INFINITY])).not.toHaveProperty("interval");
  });
});
