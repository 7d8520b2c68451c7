/** @file Caption dropout: how often, how coupled, and what comes in the caption's place. */

import { describe, expect, it } from "vitest";
import { drawDropout, dropCaption } from "./captions.js";
import { seeded } from "./seeded.js";

const given = { promptEmbeds: Float32Array.of(1, 2, 3, 4), pooled: Float32Array.of(5, 6) };
const empty = { promptEmbeds: Float32Array.of(0.1, 0.2, 0.3, 0.4), pooled: Float32Array.of(0.5, 0.6) };

describe("drawDropout", () => {
  const draws = (rule: "empty-string" | "zeros", probability: number) =>
    Array.from({ length: 4000 }, (_, i) =>
      drawDropout(rule, probability, seeded(3, "caption", 0, `key${i}`)),
    );

  it("the empty string takes both embeddings or none, as often as asked", () => {
    const drawn = draws("empty-string", 0.1);
    expect(drawn.every(({ text, pooled }) => text === pooled)).toBe(true);
    // 400 expected, standard deviation 19
    expect(Math.abs(drawn.filter(({ text }) => text).length - 400)).toBeLessThan(95);
  });

  it("zeros are drawn separately for each embedding", () => {
    const drawn = draws("zeros", 0.5);
    const both = drawn.filter(({ text, pooled }) => text && pooled).length;
    const text = drawn.filter((one) => one.text).length;
    const pooled = drawn.filter((one) => one.pooled).length;
    // 1000 and 2000 expected, standard deviations 27 and 32
    expect(Math.abs(both - 1000)).toBeLessThan(137);
    for (const count of [text, pooled]) expect(Math.abs(count - 2000)).toBeLessThan(158);
  });

  it("0 drops none and 1 drops all", () => {
    expect(draws("zeros", 0).some(({ text, pooled }) => text || pooled)).toBe(false);
    expect(draws("zeros", 1).every(({ text, pooled }) => text && pooled)).toBe(true);
  });

  it("an example's fate depends on seed, epoch and key alone", () => {
    expect(draws("zeros", 0.3)).toEqual(draws("zeros", 0.3));
  });
});

describe("dropCaption", () => {
  const all = { text: true, pooled: true };

  it("puts the encoding of the empty string, or zeros, in the caption's place", () => {
    expect(dropCaption("empty-string", given, all, empty)).toEqual(empty);
    expect(dropCaption("zeros", given, all, empty)).toEqual({
      promptEmbeds: new Float32Array(4),
      pooled: new Float32Array(2),
    });
  });

  it("leaves what is not dropped", () => {
    expect(dropCaption("zeros", given, { text: false, pooled: false }, empty)).toEqual(given);
    const pooledOnly = dropCaption("zeros", given, { text: false, pooled: true }, empty);
    expect(pooledOnly).toEqual({ promptEmbeds: given.promptEmbeds, pooled: new Float32Array(2) });
  });

  it("a model without pooled embedding gets none", () => {
    const text = { promptEmbeds: given.promptEmbeds };
    expect(dropCaption("empty-string", text, all, empty)).toEqual({ promptEmbeds: empty.promptEmbeds });
  });

  it("an empty caption of another shape is refused", () => {
    const short = { promptEmbeds: Float32Array.of(1) };
    expect(() => dropCaption("empty-string", given, all, short)).toThrow(/promptEmbeds has 1 elements.*4/);
  });
});
