/** @file Adds words of the model's vocabulary to a prompt, in the form of its training captions: "a koala, line art, on a yellow background". */

import { type Words, withArticle } from "../../src/pipeline/vocabulary.js";

export type WordKind = "noun" | "style" | "background";

type Found = { name: string; at: number; end: number };

/** The word of each kind that the prompt contains, by its main name. */
export function chosenWords(prompt: string, words: Words): Readonly<Record<WordKind, string | undefined>> {
  return {
    noun: foundIn(prompt, "noun", words)?.name,
    style: foundIn(prompt, "style", words)?.name,
    background: foundIn(prompt, "background", words)?.name,
  };
}

/** The prompt with this word instead of another of its kind; or without this word, if it was there. */
export function withWord(prompt: string, kind: WordKind, name: string, words: Words): string {
  const found = foundIn(prompt, kind, words);
  const [before, after] = [prompt.slice(0, found?.at), prompt.slice(found?.end)];
  if (found?.name === name) return joined(before, after);
  const phrase = phraseOf(kind, name);
  if (found) return before + phrase + after;
  if (kind === "noun") return joined(phrase, prompt);
  if (kind === "background") return joined(prompt, phrase);
  const end =
    foundIn(prompt, "noun", words)?.end ?? foundIn(prompt, "background", words)?.at ?? prompt.length;
  return joined(joined(prompt.slice(0, end), phrase), prompt.slice(end));
}

/** The word with article and preposition, as captions contain it. */
export function phraseOf(kind: WordKind, name: string): string {
  if (kind === "style") return name;
  return kind === "noun" ? withArticle(name) : `on ${withArticle(name)} background`;
}

const joined = (before: string, after: string): string =>
  [before.replace(/[\s,]+$/, ""), after.replace(/^[\s,]+/, "")].filter((part) => part !== "").join(", ");

const notInside = [String.raw`(?<![\p{L}\p{N}])`, String.raw`(?![\p{L}\p{N}])`] as const;
const around: Readonly<Record<WordKind, readonly [before: string, after: string]>> = {
  noun: [String.raw`(?:(?:a|an|the)\s+)?`, ""],
  style: ["", ""],
  background: [String.raw`(?:on\s+(?:(?:a|an|the)\s+)?)?`, String.raw`\s+background`],
};

function foundIn(prompt: string, kind: WordKind, words: Words): Found | undefined {
  const names = spellings(kind, words);
  const longestFirst = [...names.keys()].sort((a, b) => b.length - a.length);
  if (longestFirst.length === 0) return undefined;
  const any = longestFirst.map((name) => name.split(" ").map(literal).join(String.raw`\s+`)).join("|");
  const [before, after] = around[kind];
  const match = new RegExp(`${notInside[0]}${before}(${any})${after}${notInside[1]}`, "iu").exec(prompt);
  if (!match) return undefined;
  const name = names.get(match[1]!.toLowerCase().replace(/\s+/g, " "))!;
  return { name, at: match.index, end: match.index + match[0].length };
}

/** Names by each of their spellings. */
function spellings(kind: WordKind, { nouns, styles, backgrounds }: Words): ReadonlyMap<string, string> {
  if (kind === "background") return new Map(backgrounds.map((name) => [name.toLowerCase(), name]));
  const named = kind === "noun" ? nouns : styles;
  return new Map(
    named.flatMap(({ name, aliases }) => [name, ...aliases].map((way) => [way.toLowerCase(), name] as const)),
  );
}

const literal = (text: string) => text.replace(/[\\^$.*+?()[\]{}|/-]/g, "\\$&");
