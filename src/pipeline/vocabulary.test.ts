/** @file The list of words of a small model, and what is said of others. */

import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { describe, expect, it } from "vitest";
import { readVocabulary } from "./read-vocabulary.js";
import { unknownWords, unknownWordWarnings, withArticle } from "./vocabulary.js";

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
    expect(unknownWordWarnings("A red apple, flat icon, on a blue background", words)).toEqual([]);
    expect(unknownWordWarnings("a woman's hat, Twemoji", words)).toEqual([]);
  });

  it("are named with the nearest where one is not known", () => {
    expect(unknownWordWarnings("an umbrela", words)).toEqual([
      '"umbrela" is not a word this model knows. Near it: "umbrella". `koala words` lists them all.',
    ]);
    expect(unknownWordWarnings("apples", words)[0]).toContain('"red apple"');
  });

  it("of a few letters are not guessed at", () => {
    expect(unknownWords("x 3 and hut, whte", words)).toEqual([
      { word: "x", near: [] },
      { word: "3", near: [] },
      { word: "and", near: [] },
      { word: "hut", near: [] },
      { word: "whte", near: ["white"] },
    ]);
  });

  it("are named once, without a guess where nothing is near", () => {
    expect(unknownWordWarnings("zeppelin zeppelin", words)).toEqual([
      '"zeppelin" is not a word this model knows. `koala words` lists them all.',
    ]);
  });
});

describe("a prompt that is being typed", () => {
  const unknown = (prompt: string) =>
    unknownWords(prompt, words, { unfinished: true }).map(({ word }) => word);

  it("is let off its last word while that begins a known one", () => {
    expect(unknown("an umbre")).toEqual([]);
    expect(unknown("an umbre ")).toEqual(["umbre"]);
    expect(unknown("an umbrella, fla")).toEqual([]);
    expect(unknown("an umbrella, flo")).toEqual(["flo"]);
    expect(unknown("a zeppelin, fla")).toEqual(["zeppelin"]);
  });
});

it("a name has the article that English gives it", () => {
  const names = ["koala", "ant", "umbrella", "sunglasses", "cactus", "wine glass"];
  expect(names.map(withArticle)).toEqual([
    ...["a koala", "an ant", "an umbrella", "sunglasses", "a cactus", "a wine glass"],
  ]);
});

describe("a model's words.json", () => {
  it("is read as the small model's export writes it; a large model has none", async () => {
    const folder = await mkdtemp(path.join(tmpdir(), "koala-words-"));
    expect(await readVocabulary(folder)).toBeUndefined();
    const file = {
      nouns: [{ name: "red apple", aliases: ["apple"] }, { name: "ant" }],
      styles: [{ name: "flat icon", aliases: ["twemoji"], set: "twemoji" }],
      backgrounds: ["white"],
      heldOut: ["ant/twemoji"],
    };
    await writeFile(path.join(folder, "words.json"), JSON.stringify(file));
    const words = (await readVocabulary(folder))!;
    expect(words.nouns[1]).toEqual({ name: "ant", aliases: [] });
    expect(words.heldOut).toEqual(["ant/twemoji"]);
    await rm(folder, { recursive: true });
  });
});
