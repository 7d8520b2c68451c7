/** @file What the bundled model's evaluator takes a prompt to ask for, and the accuracy of what it sees. */

import { describe, expect, it } from "vitest";
import { blockingEngine } from "../engine/ort/blocking-engine.js";
import { accuracy, Evaluator, rightLabels } from "./evaluator.js";

const evaluator = await Evaluator.open("models/nano/evaluator", blockingEngine({ threads: 1 }));

describe("a prompt asks for", () => {
  it.each([
    ["a red apple, flat icon", { noun: "red apple", style: "flat icon", background: "white" }],
    [
      "A Flat Fluent Icon of a wine glass, on a gray background",
      { noun: "wine glass", style: "flat fluent icon", background: "gray" },
    ],
    ["a koala, 3d render", { noun: "koala", style: "glossy icon", background: "white" }],
    ["line art of a dog", { noun: "dog", style: "line art", background: "white" }],
    ["a koala face", { noun: "koala", background: "white" }],
    ["a concatenation of koalas, blue", { background: "white" }],
    ["a cat and an elephant, line art", { style: "line art", background: "white" }],
  ])("%s", (prompt, target) => {
    expect(evaluator.targetOf(prompt)).toEqual(target);
  });
});

describe("what is seen", () => {
  const asked = { noun: "cat", style: "line art" };

  it("is right label by label, and a label that was not asked for does not count", () => {
    expect(rightLabels({ noun: "cat", style: "bold icon", background: "red" }, asked)).toEqual({
      noun: true,
      style: false,
    });
    const seen = [asked, { noun: "ant", style: "line art" }, { noun: "ant", style: "bold icon" }];
    expect(accuracy(seen, [asked, { noun: "ant" }, { noun: "cat", style: "bold icon" }])).toEqual({
      noun: 2 / 3,
      style: 1,
    });
  });
});
