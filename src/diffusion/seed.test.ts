/** @file Seeds are those of `torch.manual_seed`, except -1. */

import { describe, expect, it } from "vitest";
import { InvalidRequest } from "../errors.js";
import { Generator, randn } from "./random.js";
import { resolveSeed, seedAfter } from "./seed.js";

const largest = 2n ** 64n - 1n;

describe("a seed", () => {
  it("is itself from 0 to 2^64 - 1", () => {
    for (const seed of [0, 7, 2 ** 53 - 1, 7n, largest]) expect(resolveSeed(seed)).toBe(BigInt(seed));
  });

  it("is drawn for -1 and for none", () => {
    const drawn = [resolveSeed(-1), resolveSeed(-1n), resolveSeed(), resolveSeed(undefined)];
    expect(new Set(drawn).size).toBe(4);
    for (const seed of drawn) expect(seed >= 0n && seed < 2n ** 32n).toBe(true);
  });

  it("below -1 is 2^64 more, which gives the same numbers", () => {
    expect(resolveSeed(-2)).toBe(largest - 1n);
    expect(resolveSeed(-(2n ** 63n))).toBe(2n ** 63n);
    expect(randn(4, new Generator(-2))).toEqual(randn(4, new Generator(resolveSeed(-2))));
  });

  it("is refused beyond 64 bits, and where it is not an integer", () => {
    for (const seed of [largest + 1n, -(2n ** 63n) - 1n, 0.5, 2 ** 53, Number.NaN])
      expect(() => resolveSeed(seed)).toThrow(InvalidRequest);
    expect(() => resolveSeed(2n ** 64n)).toThrow(
      /^seed: must be from -9223372036854775808 to 18446744073709551615, got 18446744073709551616/,
    );
  });

  it("after the largest is 0", () => {
    expect(seedAfter(largest, 0)).toBe(largest);
    expect(seedAfter(largest, 2)).toBe(1n);
  });
});
