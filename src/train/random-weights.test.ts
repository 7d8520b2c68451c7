/** @file The laws of random initial weights: bounds, means and variances in closed form. */

import { describe, expect, it } from "vitest";
import { Generator } from "../diffusion/random.js";
import { randomWeight } from "./random-weights.js";

const shapes = new Map<string, readonly number[]>([
  ["conv.weight", [64, 16, 3, 3]],
  ["conv.bias", [2000]],
  ["to_q.weight", [96, 100]],
  ["norm1.weight", [64]],
  ["norm1.bias", [64]],
  ["text_model.embeddings.token_embedding.weight", [300, 32]],
]);
const draw = (path: string) => randomWeight(path, shapes, new Generator(3));
const mean = (x: Float32Array) => x.reduce((sum, y) => sum + y, 0) / x.length;

describe("a random weight", () => {
  it.each([
    ["conv.weight", 1 / 12],
    ["conv.bias", 1 / 12],
    ["to_q.weight", 1 / 10],
  ])("%s is uniform within one over the root of its fan in", (path, bound) => {
    const values = draw(path);
    expect(values.length).toBe(shapes.get(path)!.reduce((a, b) => a * b));
    expect(values.every((x) => Math.abs(x) <= bound)).toBe(true);
    expect(Math.max(...values)).toBeGreaterThan(0.99 * bound);
    expect(Math.abs(mean(values))).toBeLessThan(0.05 * bound);
    expect(mean(values.map((x) => x * x)) / (bound ** 2 / 3)).toBeCloseTo(1, 1);
  });

  it("leaves a normalisation the identity", () => {
    expect(new Set(draw("norm1.weight"))).toEqual(new Set([1]));
    expect(new Set(draw("norm1.bias"))).toEqual(new Set([0]));
  });

  it("of a table of tokens is normal with deviation 0.02", () => {
    const values = draw("text_model.embeddings.token_embedding.weight");
    expect(Math.sqrt(mean(values.map((x) => x * x))) / 0.02).toBeCloseTo(1, 1);
  });
});
