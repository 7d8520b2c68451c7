/** @file Tests of adding vocabulary words to a prompt. */

import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import type { Words } from "../../src/pipeline/vocabulary.js";
import { chosenWords, type WordKind, withWord } from "./prompt-words.js";

/** Of the model that ships with the package. */
const words = JSON.parse(
  readFileSync(new URL("../../models/nano/words.json", import.meta.url), "utf8"),
  (key, value) =>
    key === "nouns" || key === "styles" ? value.map((one: object) => ({ aliases: [], ...one })) : value,
) as Words;

const click = (prompt: string, ...presses: readonly (readonly [WordKind, string])[]) =>
  presses.reduce((text, [kind, name]) => withWord(text, kind, name, words), prompt);

describe("a word", () => {
  it("joins the others in the order of captions, whatever order they are clicked in", () => {
    const whole = "a koala, line art, on a yellow background";
    const presses = [
      ["noun", "koala"],
      ["style", "line art"],
      ["background", "yellow"],
    ] as const;
    const [noun, style, background] = presses;
    expect(click("", noun, style, background)).toBe(whole);
    expect(click("", background, style, noun)).toBe(whole);
    expect(click("", style, noun, background)).toBe(whole);
    expect(click("", background, noun, style)).toBe(whole);
  });

  it("takes the place of another of its kind, and nothing else's", () => {
    const prompt = "a koala, line art, on a yellow background";
    expect(click(prompt, ["noun", "ant"])).toBe("an ant, line art, on a yellow background");
    expect(click(prompt, ["noun", "sunglasses"])).toBe("sunglasses, line art, on a yellow background");
    expect(click(prompt, ["style", "3d render"])).toBe("a koala, 3d render, on a yellow background");
    expect(click(prompt, ["background", "orange"])).toBe("a koala, line art, on an orange background");
    expect(click("A red  apple on white background", ["noun", "cat"])).toBe("a cat on white background");
    expect(click("a red apple, red background", ["background", "blue"])).toBe(
      "a red apple, on a blue background",
    );
  });

  it("is taken away by another click, with its comma", () => {
    const prompt = "a koala, line art, on a yellow background";
    expect(click(prompt, ["noun", "koala"])).toBe("line art, on a yellow background");
    expect(click(prompt, ["style", "line art"])).toBe("a koala, on a yellow background");
    expect(click(prompt, ["background", "yellow"])).toBe("a koala, line art");
    expect(click("a koala", ["noun", "koala"])).toBe("");
  });

  it("leaves what a user wrote around it", () => {
    expect(click("two big koalas", ["style", "line art"])).toBe("two big koalas, line art");
    expect(click("a koala on a hill", ["style", "line art"])).toBe("a koala, line art, on a hill");
    expect(click("my hat, ", ["background", "pink"])).toBe("my hat, on a pink background");
  });
});

describe("the words of a prompt", () => {
  it("are found by any of their spellings, whole words only", () => {
    expect(chosenWords("A RED CAR, twemoji, on a gray background", words)).toEqual({
      noun: "automobile",
      style: "flat icon",
      background: "gray",
    });
    expect(chosenWords("cats, a red scarf", words)).toEqual({
      noun: undefined,
      style: undefined,
      background: undefined,
    });
  });
});
