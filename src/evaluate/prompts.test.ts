/** @file The prompts of an evaluation: files of three kinds, and the sets that come with the command. */

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { promptsOfSet } from "./prompt-sets.js";
import { readPrompts, spread } from "./read-prompts.js";

const folder = mkdtempSync(path.join(tmpdir(), "prompts-"));
afterAll(() => rmSync(folder, { recursive: true }));
function file(name: string, text: string): string {
  writeFileSync(path.join(folder, name), text);
  return path.join(folder, name);
}

describe("a file of prompts", () => {
  it("has one a line, or a table of PartiPrompts, or lines of GenEval", async () => {
    expect(await readPrompts(file("a.txt", "a cat\r\n\n a dog \n"))).toEqual([
      { prompt: "a cat" },
      { prompt: "a dog" },
    ]);
    const parti = "Prompt\tCategory\tChallenge\tNote\nbond\tAbstract\tBasic\tconcepts\nlife\t\tBasic\t\n";
    expect(await readPrompts(file("a.tsv", parti))).toEqual([
      { prompt: "bond", category: "Abstract" },
      { prompt: "life" },
    ]);
    const geneval = '{"tag": "single_object", "include": [], "prompt": "a photo of a bench"}\n';
    expect(await readPrompts(file("a.jsonl", geneval))).toEqual([
      { prompt: "a photo of a bench", category: "single_object" },
    ]);
  });

  it("without prompts is refused by what it lacks", async () => {
    await expect(readPrompts(file("none.txt", "\n \n"))).rejects.toThrow(
      "must hold a prompt per line, got none",
    );
    await expect(readPrompts(file("b.tsv", "Text\nhello\n"))).rejects.toThrow(
      'a column "Prompt" in a .tsv file, got text',
    );
    await expect(readPrompts(file("b.jsonl", '{"prompt":"x"}\nhello\n'))).rejects.toThrow(
      "got none on line 2",
    );
  });

  it("is thinned out evenly", () => {
    expect(spread([0, 1, 2, 3, 4, 5, 6], 3)).toEqual([0, 2, 4]);
    expect(spread([0, 1], 3)).toEqual([0, 1]);
  });
});

describe("the prompts that come with the command", () => {
  it("are each given once, in the categories of what the model card names as limits", () => {
    for (const [set, categories] of [
      ["complex", ["color", "shape", "texture", "spatial", "numeracy", "scene"]],
      ["text", ["one short word", "one long word", "several words"]],
    ] as const) {
      const prompts = promptsOfSet(set, undefined)!;
      expect(new Set(prompts.map(({ prompt }) => prompt)).size).toBe(prompts.length);
      expect([...new Set(prompts.map(({ category }) => category))]).toEqual(categories);
    }
  });

  it("bind two attributes to two objects", () => {
    for (const { prompt, category } of promptsOfSet("complex", undefined)!) {
      if (category !== "color") continue;
      const [, a, x, b, y] = /^an? (\w+) (\w+) and an? (\w+) (\w+)$/.exec(prompt)!;
      expect([a === b, x === y], prompt).toEqual([false, false]);
    }
  });

  it("are of a small model all its nouns in all its styles, those it never saw in a category of their own", () => {
    const named = (name: string) => ({ name, aliases: [] });
    const words = {
      nouns: [named("ant"), named("sunglasses")],
      styles: [{ ...named("line art"), set: "streamline" }],
      backgrounds: ["white", "red"],
      heldOut: ["sunglasses/streamline"],
    };
    expect(promptsOfSet("vocabulary", words)).toEqual([
      { prompt: "an ant, line art", category: "trained pairs" },
      { prompt: "sunglasses, line art, on a red background", category: "held-out pairs" },
    ]);
    expect(promptsOfSet("vocabulary", undefined)).toBeUndefined();
  });
});
