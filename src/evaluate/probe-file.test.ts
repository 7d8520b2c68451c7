/** @file Files of `koala probe`: what they give, and what of them is refused. */

import { describe, expect, it } from "vitest";
import { probeOf } from "./probe-file.js";
import { filled } from "./probe-templates.js";

const prompts = (yaml: string) => probeOf(yaml, "probe.yaml").prompts.map(({ prompt }) => prompt);

describe("the prompts of a probe", () => {
  it("are every choice of words, in order", () => {
    const yaml = "templates: ['a {colour} {noun}']\nslots: { colour: [red, blue], noun: [cat, 7] }";
    expect(prompts(yaml)).toEqual(["a red cat", "a red 7", "a blue cat", "a blue 7"]);
    expect(prompts('{"templates":["a cat"]}')).toEqual(["a cat"]);
  });

  it("bind two different words at two places of a slot, and repeat one by its number", () => {
    const slots = "slots: { colour: [red, blue], noun: [cat, dog, cow] }";
    const both = probeOf(
      `templates: ['a {colour} {noun} and a {colour} {noun}']\n${slots}`,
      "probe.yaml",
    ).prompts;
    // 2 x 1 colours, 3 x 2 nouns.
    expect(both).toHaveLength(12);
    expect(both[0]).toEqual({
      template: "a {colour} {noun} and a {colour} {noun}",
      prompt: "a red cat and a blue dog",
      values: { colour: "red", noun: "cat", "colour 2": "blue", "noun 2": "dog" },
    });
    expect(filled("a {colour 2} {noun} and a {colour 1} {noun}", both[0]!.values)).toBe(
      "a blue cat and a red dog",
    );
    expect(filled("{noun 3}", both[0]!.values)).toBeUndefined();
    expect(prompts(`templates: ['{colour} on {colour 1}']\n${slots}`)).toEqual([
      "red on red",
      "blue on blue",
    ]);
  });
});

describe("a question of a probe", () => {
  it("has labels as a list, or with one or several texts", () => {
    const { questions } = probeOf(
      "templates: ['a {x}']\nslots: { x: [cat] }\nquestions:\n  kind: { labels: [cat, dog], expected: '{x}' }\n" +
        "  look: { labels: { near: [a near one, a close one], far: 'a far {x}' } }",
      "probe.yaml",
    );
    expect(questions).toEqual({
      kind: { texts: { cat: ["cat"], dog: ["dog"] }, expected: "{x}" },
      look: { texts: { near: ["a near one", "a close one"], far: ["a far {x}"] }, expected: undefined },
    });
  });
});

describe("the file of a probe", () => {
  it.each([
    [
      "templates: ['a {x']\nslots: { x: [b] }",
      'templates: must have braces in pairs, as in "a {noun}", got "a {x"',
    ],
    ["templates: ['a {x}']", 'templates: must name slots in braces, got {x} in "a {x}". Add slots.'],
    ["templates: ['{x} {x}']\nslots: { x: [cat] }", "fewer different words than places"],
    ["templates: []", "probe.yaml: templates: must hold a template"],
    ["templates: [a]\nslot: {}", "slot: is not a supported field"],
    ["templates: [a]\nseeds: 0", "seeds: must be a whole number above 0"],
    ["templates: [a]\nquestions: { q: { labels: [one] } }", "questions.q: must have two labels or more"],
    [
      "templates: [a]\nquestions: { q: { labels: [b, c], expected: d } }",
      'must be one of its labels, got "d"',
    ],
    ["templates: [a\nb", "must be YAML or JSON, got probe.yaml:"],
    [`templates: ['{x}{x}{x}']\nslots: { x: [${Array.from({ length: 30 }, (_, i) => i)}] }`, "at most 10000"],
  ])("is refused by what is wrong with it: %j", (yaml, message) => {
    expect(() => probeOf(yaml, "probe.yaml")).toThrow(message);
  });
});
