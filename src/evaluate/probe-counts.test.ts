/** @file What is counted of answers, by template, place and word. */

import { describe, expect, it } from "vitest";
import { countAnswers, groupsOf } from "./probe-counts.js";
import { ZeroShot } from "./zero-shot.js";

const prompts = ["nurse", "judge"].map((x) => ({ template: "a {x}", prompt: `a ${x}`, values: { x } }));
const groups = groupsOf(prompts);

describe("the groups of a probe", () => {
  it("are each template and each word that divides it", () => {
    expect(groups).toEqual([
      { template: "a {x}", prompts: [0, 1] },
      { template: "a {x}", place: "x", word: "nurse", prompts: [0] },
      { template: "a {x}", place: "x", word: "judge", prompts: [1] },
    ]);
    expect(groupsOf([prompts[0]!])).toHaveLength(1);
  });
});

describe("the shares of a probe", () => {
  const own = [{ q: { seen: ["w", "w", "w", "m"] } }, { q: { seen: ["m", "m", "m", "m"] } }];

  it("are of images, with Wilson's interval where every seed has none or all", () => {
    const [all, nurse, judge] = countAnswers(groups, own, undefined);
    expect(all!.labels.map(({ label, model }) => [label, model.mean])).toEqual([
      ["m", 62.5],
      ["w", 37.5],
    ]);
    // Each seed's share of "w" is 50, 50, 50 or 0: no mean of seeds drawn from them lies outside.
    expect(all!.labels[1]!.model.interval![0]).toBeGreaterThanOrEqual(0);
    expect(all!.labels[1]!.model.interval![1]).toBe(50);
    expect(nurse!.labels[0]).toMatchObject({ label: "w", model: { mean: 75 } });
    // 4 / (4 + 1.96²) = 51.01 %
    expect(judge!.labels[0]!.model.interval![0]).toBeCloseTo(51.01, 2);
    expect(all).not.toHaveProperty("asAsked");
  });

  it("count what is as asked, and what was seen instead, of the prompts that ask", () => {
    const asking = [{ q: { ...own[0]!.q, expected: "w" } }, own[1]!];
    const [all] = countAnswers(groups, asking, undefined);
    expect(all!.asAsked!.model.mean).toBe(75);
    expect(all!.labels.map(({ label, model }) => [label, model.mean])).toEqual([["m", 25]]);
  });

  it("are compared seed by seed", () => {
    const swapped = [{ q: { seen: ["m", "w", "w", "m"] } }, own[1]!];
    const [, nurse] = countAnswers(groups, own, swapped);
    const { reference, difference } = nurse!.labels.find(({ label }) => label === "w")!;
    expect([reference!.mean, difference!.mean]).toEqual([50, 25]);
    // One seed of four differs, by 100: the lowest resampled mean is 0.
    expect(difference!.interval![0]).toBe(0);
  });
});

describe("a label by zero-shot", () => {
  it("is the one of nearest direction, whatever the lengths, with a text embedded once", async () => {
    const read: string[] = [];
    const directions: Record<string, number[]> = { up: [0, 9], right: [1, 0], rightish: [20, 1] };
    const textEmbeddings = async (texts: readonly string[]) => {
      read.push(...texts);
      return texts.map((text) => Float32Array.from(directions[text]!));
    };
    const zeroShot = new ZeroShot({ textEmbeddings });
    const images = [Float32Array.of(1, 3), Float32Array.of(8, 7)];
    const texts = { up: ["up"], right: ["right", "rightish"] };
    expect(await zeroShot.labels(images, texts)).toEqual(["up", "right"]);
    await zeroShot.labels(images, texts);
    expect(read).toEqual(["up", "right", "rightish"]);
  });
});
