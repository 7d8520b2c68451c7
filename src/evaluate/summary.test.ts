/** @file Figures and confusions of numbers that are known. */

import { describe, expect, it } from "vitest";
import type { Measured } from "./measures.js";
import { confusions, distance, figures } from "./summary.js";

const scores = (...numbers: number[]): Measured => ({ measures: new Map([["clipScore", numbers]]) });

describe("the figures of two models", () => {
  it("are means over prompts of means over seeds, and differences over the prompts that both have", () => {
    const own = [scores(10, 20), scores(30), { measures: new Map() }];
    const others = [scores(10, 10), { measures: new Map() }, scores(7)];
    const [figure] = figures(own, others);
    expect(figure!.measure).toBe("clipScore");
    expect(figure!.model).toMatchObject({ mean: 22.5, prompts: 2 });
    expect(figure!.reference).toMatchObject({ mean: 8.5, prompts: 2 });
    expect(figure!.difference).toEqual({ mean: 5, prompts: 1 });
  });
});

describe("what was seen instead", () => {
  it("is counted by what was asked for, most often first, and not where it was not asked for", () => {
    const seen = [
      { noun: "cat", style: "flat" },
      { noun: "ant", style: "bold" },
    ];
    const measured = [
      { measures: new Map(), seen },
      { measures: new Map(), seen: [seen[1]!] },
    ];
    expect(confusions([{ noun: "cat", style: "flat" }, { noun: "cat" }], measured)).toEqual([
      { label: "noun", asked: "cat", seen: "ant", images: 2 },
      { label: "style", asked: "flat", seen: "bold", images: 1 },
    ]);
  });
});

describe("the Fréchet distance of few images", () => {
  it("is not given, with the reason", () => {
    const rows = [0, 1, 2].map((i) => Float32Array.of(i, i * i, 1));
    expect(distance(rows, rows)).toMatchObject({ reason: expect.stringContaining("more than 3 images") });
    expect(distance([...rows, Float32Array.of(5, 1, 2)], [...rows, Float32Array.of(5, 1, 2)])).toMatchObject({
      images: [4, 4],
    });
  });
});
