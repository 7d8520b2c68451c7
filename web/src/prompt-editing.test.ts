/** @file Tests of what the prompt fields colour, of the keys that change weights, and of tags. */

import { describe, expect, it } from "vitest";
import { embeddingWords, withEmbedding, withoutEmbedding } from "./embedding-words.js";
import { loraTags, withoutTag, withScale, withTag } from "./lora-tags.js";
import { marksOf, unmatchedNote } from "./prompt-marks.js";
import { changedWeight } from "./weight-keys.js";

const shown = (prompt: string) =>
  marksOf(prompt)
    .filter(({ kind }) => kind !== "text")
    .map(({ kind, text, depth }) => (kind === "bracket" ? `${text}${depth}` : `${kind} ${text}`));

describe("marksOf", () => {
  it.each([
    ["a (cat:1.3), [dog]", ["(0", "weight :1.3", ")0", "[0", "]0"]],
    ["((a) [b])", ["(0", "(1", ")1", "[1", "]1", ")0"]],
    ["([)]", ["(0", "[1", ")0", "]1"]],
    ["a) (b", ["unmatched )", "unmatched ("]],
    ["\\(a\\) \\\\(b)", ["(0", ")0"]],
    ["[a:b:0.5] {c|__d__}", ["[0", "weight :", "weight :", "]0", "{0", "weight |", "keyword __d__", "}0"]],
    ["a BREAK b AND c, SAND", ["keyword BREAK", "keyword AND"]],
    ["<lora:a (b):0.8> <3 <lora:c", ["tag <lora:a (b):0.8>", "unmatched <"]],
    ["at 10:30, a:b", []],
  ])("of %j", (prompt, expected) => {
    expect(shown(prompt)).toEqual(expected);
    expect(
      marksOf(prompt)
        .map(({ text }) => text)
        .join(""),
    ).toBe(prompt);
  });

  it("leads to a sentence on brackets without a partner", () => {
    expect(unmatchedNote(marksOf("(a) b"))).toBeUndefined();
    expect(unmatchedNote(marksOf("(a"))).toBe(
      'One bracket has no partner: "(". Write \\( for the character itself',
    );
    expect(unmatchedNote(marksOf("((a]"))).toBe('3 brackets have no partner: "(", "]"');
  });
});

/** "|" stands for the caret, or for both ends of the selection. */
function edit(marked: string, ...directions: (1 | -1)[]): string | undefined {
  const [before, inside, after] = marked.split("|");
  const start = before!.length;
  const text = after === undefined ? before! + inside : before! + inside + after;
  let now = { text, start, end: after === undefined ? start : start + inside!.length };
  for (const direction of directions) {
    const next = changedWeight(now, direction);
    if (!next) return undefined;
    now = next;
  }
  return `${now.text.slice(0, now.start)}|${now.text.slice(now.start, now.end)}|${now.text.slice(now.end)}`;
}

describe("Ctrl+Up and Ctrl+Down", () => {
  it.each([
    ["a red |cat", [1], "a red (|cat|:1.1)"],
    ["a ca|t, b", [1, 1], "a (|cat|:1.2), b"],
    ["a cat|", [-1], "a (|cat|:0.9)"],
    ["a |red cat |on", [1], "a (|red cat|:1.1) on"],
    ["(c|at:1.1)", [-1], "|cat|"],
    ["(ca|t:1.9)", [1], "(|cat|:2.0)"],
    ["(a cat, |a dog:0.1)", [-1], "(|a cat, a dog|:0.0)"],
    ["((ca|t))", [1], "(|cat|:1.3)"],
    ["[ca|t]", [-1], "(|cat|:0.8)"],
    ["(a (b) |c)", [1], "(a (b) (|c|:1.1))"],
    ["[a:do|g:0.5]", [1], "[a:(|dog|:1.1):0.5]"],
    ["x <lora:in|k:0.8> y", [1], "x <lora:ink:|0.85|> y"],
    ["<lora:ink|>", [-1], "<lora:ink:|0.95|>"],
  ] as const)("in %j", (before, directions, after) => {
    // "[cat|dog]" cannot be written here: "|" is the caret.
    expect(edit(before, ...directions)).toBe(after);
  });

  it("do nothing where there is no word", () => {
    expect(edit("a, |", 1)).toBeUndefined();
    expect(edit("(cat:1.2.3|)", 1)).toBeUndefined();
  });
});

describe("tags of LoRAs", () => {
  const prompt = "a cat <lora:ink:0.8> on <lyco:b c> x<lora:ink:-0.2>";

  it("are found, changed, added and removed in their places", () => {
    const tags = loraTags(prompt);
    expect(tags.map(({ name, scale }) => [name, scale])).toEqual([
      ["ink", 0.8],
      ["b c", 1],
      ["ink", -0.2],
    ]);
    expect(withScale(prompt, tags[0]!, 1.5)).toBe(prompt.replace("0.8", "1.5"));
    expect(withoutTag(prompt, tags[1]!)).toBe("a cat <lora:ink:0.8> on x<lora:ink:-0.2>");
    expect(withTag("a cat", "ink", 1)).toBe("a cat <lora:ink:1>");
    expect(loraTags("<lora:a:much> <lora:b:> <lora:c:1:2> <3")).toEqual([]);
  });
});

describe("words of embeddings", () => {
  const tokens = ["moss", "moss-2", "<toy>"];

  it("are found whole and in any case by the grammar, and by their spelling without it", () => {
    const found = (prompt: string, byGrammar: boolean) =>
      embeddingWords(prompt, tokens, byGrammar).map(({ token }) => token);
    expect(found("a (Moss:1.2), mossy <toy>, moss-2, moss", true)).toEqual(["moss", "<toy>", "moss-2"]);
    expect(found("a Moss, mossy moss-2", false)).toEqual(["moss", "moss-2"]);
    expect(found("moss", true)).toEqual(["moss"]);
    expect(embeddingWords("moss", [], true)).toEqual([]);
  });

  it.each([
    ["a cat, moss", "a cat"],
    ["moss, a cat", "a cat"],
    ["a, (moss:1.2), b", "a, b"],
    ["a [[moss]] b", "a b"],
    ["a (moss and cat) b", "a (and cat) b"],
    ["moss", ""],
  ])("are removed from %j", (before, after) => {
    const [word] = embeddingWords(before, tokens, true);
    expect(withoutEmbedding(before, word!)).toBe(after);
  });

  it("are added behind a comma", () => {
    expect(withEmbedding("", "moss")).toBe("moss");
    expect(withEmbedding("a cat, ", "moss")).toBe("a cat, moss");
  });
});
