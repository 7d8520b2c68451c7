/** @file Prompts with other programs' syntax, and prose without. */

import { describe, expect, it } from "vitest";
import { promptSyntax, syntaxWarnings } from "./prompt-syntax.js";

const texts = (prompt: string) => [...promptSyntax(prompt).values()].flat();

describe("syntax of other programs is found", () => {
  it.each([
    ["a (cat:1.3) on a mat", ["(cat:1.3)"]],
    ["a (black cat : 0.8), (dog:1)", ["(black cat : 0.8)", "(dog:1)"]],
    ["((masterpiece)), (((best quality)))", ["((masterpiece))", "(((best quality)))"]],
    ["a [blurry] cat, [[ugly]]", ["[blurry]", "[[ugly]]"]],
    ["[cat:dog:0.5] in [a field:10] and [rain::0.3]", ["[cat:dog:0.5]", "[a field:10]", "[rain::0.3]"]],
    ["a [cat|dog] at night", ["[cat|dog]"]],
    ["a cat BREAK a dog", ["BREAK"]],
    ["a cat AND a dog", ["AND"]],
    ["a cat <lora:add_detail:0.8>", ["<lora:add_detail:0.8>"]],
    ["<hypernet:x:1> <lyco:y:0.5>", ["<hypernet:x:1>", "<lyco:y:0.5>"]],
    ["embedding:easynegative, ugly", ["embedding:easynegative"]],
    ["a {red|blue} car", ["{red|blue}"]],
    ["a __colour__ car", ["__colour__"]],
    ["a {{{red}}} car", ["{{{red}}}"]],
    ["saber \\(fate\\)", ["\\(", "\\)"]],
    ["a (red)++ car, (old)-- house, (blue)1.3 sky", ["(red)++", "(old)--", "(blue)1.3"]],
    ["a red car --ar 16:9 --v 6", ["--ar", "--v"]],
    ["(a cat:1.2) (a cat:1.2)", ["(a cat:1.2)"]],
    ["(ratio 16:1.5)", ["(ratio 16:1.5)"]],
    ["a red apple, UHD, BREAK a blue car", ["BREAK"]],
    ["A CAT BREAK A DOG", ["BREAK"]],
    ["a photo in HDR AND a blue car", ["AND"]],
    ["a blue car AND HDR", ["AND"]],
    ["(best quality:1.), (ugly:.5)", ["(best quality:1.)", "(ugly:.5)"]],
    ["(a red\napple:1.2), [a\nb:0.5]", ["(a red\napple:1.2)", "[a\nb:0.5]"]],
    ["a {red|\nblue} car", ["{red|\nblue}"]],
  ])("%s", (prompt, wanted) => expect(texts(prompt)).toEqual(wanted));
});

describe("prose is not syntax", () => {
  it.each([
    "a cat (a black one) on a mat",
    "a clock (at 10:30)",
    "A wide screen. (Its ratio is 16:9.)",
    "a thought (and then: ...)",
    "a flag of RED, WHITE, AND BLUE",
    "a screen (16:9)",
    "a proverb [1], another [2, 3]",
    "a misspelt [sic] sign and so on [...]",
    "A CAT AND A DOG",
    "a sign that says CATS AND DOGS",
    'a neon sign that says "BREAK"',
    "a smiley :) and (: another :-)",
    "f(x) = (a + b) * c",
    "C++ code -- a screenshot",
    "a <b>bold</b> word, x < y > z",
    "a set {1, 2, 3}",
    "an empty list [], a box [ ]",
    "a file named my_file_name.txt",
    "time: 12:30, scale 1:100",
    "an embedding of words",
  ])("%s", (prompt) => expect(texts(prompt)).toEqual([]));
});

describe("a prompt", () => {
  it("gets a warning with its name, the program and the text", () => {
    expect(syntaxWarnings("negative prompt", "(ugly:1.4), embedding:bad")).toEqual([
      'negative prompt: AUTOMATIC1111\'s syntax is off, so this is read as letters: "(ugly:1.4)". promptSyntax "a1111" reads it.',
      'negative prompt: ComfyUI\'s syntax is off, so this is read as letters: "embedding:bad"',
    ]);
  });

  it("is not warned of for what is read", () => {
    const prompt = "(ugly:1.4) {a|b} __c__ (d)++";
    const warned = (read: object) => syntaxWarnings("prompt", prompt, read).map((text) => text.split("'")[0]);
    const [own, dynamic, invoke] = ["prompt: AUTOMATIC1111", "prompt: Dynamic Prompts", "prompt: InvokeAI"];
    expect(warned({})).toEqual([own, dynamic, invoke]);
    expect(warned({ promptSyntax: "a1111" })).toEqual([dynamic, invoke]);
    expect(warned({ dynamicPrompts: true })).toEqual([own, invoke]);
  });

  it("that is negative is warned of for AND and tags, which A1111 has in the other prompt alone", () => {
    const read = { promptSyntax: "a1111" } as const;
    const prompt = "(ugly:1.2) AND <lora:x:1>";
    expect(syntaxWarnings("negative prompt", prompt, read)).toEqual([
      'negative prompt: A1111\'s negative prompts have neither AND nor tags, so this is read as letters: "AND", "<lora:x:1>"',
    ]);
    expect(syntaxWarnings("prompt", prompt, read)).toEqual([]);
    expect(syntaxWarnings("negative prompt", "(ugly:1.2)", read)).toEqual([]);
  });

  it("of many brackets is read in linear time", () => {
    for (const part of ["(", "[", "((a", "[a:", "{", "(a:1.", "__a", "\\"])
      expect(texts(`${part.repeat(20_000 / part.length)} a cat BREAK a dog`)).toContain("BREAK");
  });
});
