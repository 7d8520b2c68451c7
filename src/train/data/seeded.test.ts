/** @file Random numbers from words. */

import { describe, expect, it } from "vitest";
import { below, seeded } from "./seeded.js";

const first = (count: number, random: () => number) => Array.from({ length: count }, random);

describe("seeded", () => {
  it("gives the same numbers for the same words and others for others", () => {
    expect(first(5, seeded(1, "a", 2))).toEqual(first(5, seeded(1, "a", 2)));
    const others = [seeded(1, "a", 3), seeded(2, "a", 2), seeded(1, "a2"), seeded("1", "a", 2)];
    for (const other of others) expect(first(5, other)).not.toEqual(first(5, seeded(1, "a", 2)));
  });

  it("is uniform and uncorrelated over keys", () => {
    const numbers = Array.from({ length: 10_000 }, (_, i) => seeded(0, "crop", 0, `image-${i}.jpg`)());
    const mean = (values: number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;
    const products = numbers.slice(1).map((value, i) => (value - 0.5) * (numbers[i]! - 0.5));
    // Standard deviations of these means: 0.0029 and 0.00083
    expect(Math.abs(mean(numbers) - 0.5)).toBeLessThan(0.0145);
    expect(Math.abs(mean(products))).toBeLessThan(0.0042);
    expect(Math.min(...numbers)).toBeGreaterThanOrEqual(0);
    expect(Math.max(...numbers)).toBeLessThan(1);
  });

  it("is uniform along one stream", () => {
    const random = seeded("stream");
    const counts = new Array<number>(10).fill(0);
    for (let i = 0; i < 10_000; i++) counts[below(10, random)]! += 1;
    // 1000 expected, standard deviation 30
    for (const count of counts) expect(Math.abs(count - 1000)).toBeLessThan(150);
  });
});
