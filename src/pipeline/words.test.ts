/** @file The list of words of a small model, and what is said of others. */

import { describe, expect, it } from "vitest";
import { unknownWords } from "./words.js";

const words = {
  nouns: [
    { name: "red apple", aliases: ["apple"] },
    { name: "woman's hat", aliases: [] },
    { name: "umbrella", aliases: [] },
  ],
  styles: [{ name: "flat icon", aliases: ["twemoji"] }],
  backgrounds: ["white", "blue"],
};

describe("the words of a prompt", () => {
  it("are all known where each is part of a name", () => {
    expect(unknownWords("A red apple, flat icon, on a blue background", words)).toEqual([]);
    expect(unknownWords("a woman's hat, Twemoji", words)).toEqual([]);
  });

  it("are named with the nearest where one is not known", () => {
    expect(unknownWords("an umbrela", words)).toEqual([
      '"umbrela" is not a word this model knows. Near it: "umbrella". `koala words` lists them all.',
    ]);
    expect(unknownWords("apples", words)[0]).toContain('"red apple"');
  });

  it("are named once, without a guess where nothing is near", () => {
    expect(unknownWords("zeppelin zeppelin", words)).toEqual([
      '"zeppelin" is not a word this model knows. `koala words` lists them all.',
    ]);
  });
});
