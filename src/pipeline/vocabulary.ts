/**
 * @file The vocabulary of a model that knows few words: which words of a prompt are not in it, and names near them.
 * Also runs in the page: must not import Node.
 */

import { closest } from "../closest.js";
import { listed } from "../errors.js";

/** A word and what else it is called. */
export type VocabularyWord = { name: string; aliases: string[] };

/** What `words.json` holds. */
export type Words = {
  nouns: VocabularyWord[];
  /** `set` is where the style's drawings come from. */
  styles: (VocabularyWord & { set?: string | undefined })[];
  backgrounds: string[];
  /** Pairs "noun/set" that training never saw. */
  heldOut: string[];
};

type Vocabulary = Pick<Words, "nouns" | "styles" | "backgrounds">;

/** A word that is not known, with up to three names that are. */
export type UnknownWord = { word: string; near: readonly string[] };

/** What joins the others in the captions that such models learn from. */
const joining = ["a", "an", "the", "on", "background", "of"];
const split = (text: string): readonly string[] => text.toLowerCase().match(/[\p{L}\p{N}']+/gu) ?? [];

/**
 * The words of `prompt` that are not known, each once. In a prompt that is `unfinished` the last word may still become
 * one that is.
 */
export function unknownWords(
  prompt: string,
  words: Vocabulary,
  { unfinished = false }: { unfinished?: boolean } = {},
): UnknownWord[] {
  const names = namesOf(words);
  const known = new Set([...joining, ...names.flatMap(split)]);
  const unknown = [...new Set(split(prompt).filter((word) => !known.has(word)))];
  const last = unfinished && /[\p{L}\p{N}']$/u.test(prompt) ? split(prompt).at(-1) : undefined;
  const begun = last !== undefined && [...known].some((word) => word.startsWith(last));
  return unknown
    .filter((word) => !begun || word !== last)
    .map((word) => ({ word, near: nearest(word, names) }));
}

/** A warning for each word of `prompt` that is not known. */
export function unknownWordWarnings(prompt: string, words: Vocabulary): string[] {
  return unknownWords(prompt, words).map(({ word, near }) => {
    const hint = near.length > 0 ? ` Near it: ${listed(near, 20)}.` : "";
    return `"${word}" is not a word this model knows.${hint} \`koala words\` lists them all.`;
  });
}

const namesOf = ({ nouns, styles, backgrounds }: Vocabulary): string[] => [
  ...[...nouns, ...styles].flatMap(({ name, aliases }) => [name, ...aliases]),
  ...backgrounds,
];

/** Up to three names: one that differs in a few letters, and those that share its beginning or hold it. */
function nearest(word: string, names: readonly string[]): string[] {
  if (word.length < 4) return []; // most of its letters would have to change
  const spelt = closest(word, names.flatMap(split));
  const begins = (name: string) => split(name).some((part: string) => part.slice(0, 4) === word.slice(0, 4));
  const found = names.filter((name) => (spelt !== undefined && split(name).includes(spelt)) || begins(name));
  return [...new Set(found)].slice(0, 3);
}

/** "a koala", "an ant", "sunglasses": the name as a prompt says it. */
export const withArticle = (name: string): string => `${article(name)}${name}`;

/** "a ", "an ", or nothing before a plural. */
function article(name: string): string {
  if (/[^s]s$/.test(name) && !/^(bus|cactus|octopus|minibus|circus)$/.test(name)) return "";
  return /^[aeiou]/.test(name) ? "an " : "a ";
}
