/** @file Dynamic prompts: what is chosen follows from the random numbers. */

import { describe, expect, it } from "vitest";
import { InvalidRequest } from "../errors.js";
import { expandPrompt } from "./dynamic-prompts.js";

const wildcards = {
  none: [],
  color: ["red", "{light|dark} blue"],
  "clothes/hat": ["cap"],
  "clothes/shoe": ["boot"],
};
const expanded = (prompt: string, ...numbers: number[]) =>
  expandPrompt(prompt, { wildcards, random: () => numbers.shift() ?? 0 });

describe("a dynamic prompt", () => {
  it.each([
    ["a {red|blue} car", [0.4], "a red car"],
    ["a {red|blue} car", [0.5], "a blue car"],
    ["{a|{b|c}} {|d}", [0.9, 0.6, 0.1], "c "],
    ["{3::a|b}", [0.74], "a"],
    ["{3::a|b}", [0.76], "b"],
    ["{0::a|.5::b}", [0], "b"],
    ["{2$$a|b|c}", [0.9, 0.9], "c, b"],
    ["{2$$ and $$a|b|c}", [0, 0], "a and b"],
    ["{1-2$$a|b}", [0.9, 0, 0], "a, b"],
    ["{9$$a|b}", [0, 0], "a, b"],
    ["__color__ car", [0], "red car"],
    ["__color__ car", [0.9, 0.9], "dark blue car"],
    ["__clothes/*__", [0.9], "boot"],
    ["__c*o*s/sh*e__ __*/*t__", [0, 0], "boot cap"],
    ["\\{a\\|b\\} snake_case __ (c:1.2) [d|e]", [], "{a|b} snake_case __ (c:1.2) [d|e]"],
  ])("%s by %j is %s", (prompt, numbers, text) => expect(expanded(prompt, ...numbers)).toBe(text));

  it.each(
    [
      ["{a", "close every brace"],
      ["a}", "close only braces that are open"],
      ["{0::a}", "a weight above 0"],
      [`${"{".repeat(51)}a`, "at most 50 deep"],
      // biome-ignore lint/suspicious/noTemplateCurlyInString: the extension's syntax of variables
      ["${x=a}", "no variables"],
      ["__colour__", 'got "__colour__". Did you mean "color"?'],
      ["{a|b}".repeat(2001), "at most 2000 choices"],
      [`{1500$$${"a|".repeat(1999)}b}{1500$$${"a|".repeat(1999)}b}`, "at most 2000 choices"],
      [`{${"a|".repeat(2000)}b}`, "at most 2000 alternatives in a pair of braces, got 2001"],
      ["__clothes/*z*__", "must name wildcards that there are"],
      ["__none__", 'must name wildcards with lines, got "__none__" with none'],
    ].map(([prompt, message]) => [prompt!.slice(0, 60), message!, prompt!] as const),
  )("%s… is refused: %s", (_, message, prompt) => {
    expect(() => expanded(prompt)).toThrow(InvalidRequest);
    expect(() => expanded(prompt)).toThrow(message);
  });

  it("that names itself in a wildcard is refused", () => {
    const random = () => 0;
    expect(() => expandPrompt("__a__", { wildcards: { a: ["__a__ b"] }, random })).toThrow("at most 50 deep");
  });
});
