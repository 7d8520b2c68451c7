/**
 * @file What a model of few words knows: `words.json` in its folder, and which words of a prompt are not among them.
 * Large models have no such file, and any word is known to them.
 */

import path from "node:path";
import { z } from "zod";
import { closest } from "../diffusion/closest.js";
import { listed } from "../errors.js";
import { parseConfig } from "../models/config.js";
import { kindOf, readJson } from "../weights/files.js";

const named = z.object({ name: z.string(), aliases: z.array(z.string()).default([]) });
const schema = z.object({
  nouns: z.array(named),
  /** `set` is where the style's drawings come from. */
  styles: z.array(named.extend({ set: z.string().optional() })),
  backgrounds: z.array(z.string()),
  /** Pairs "noun/set" that training never saw. */
  heldOut: z.array(z.string()).default([]),
});

export type Words = z.output<typeof schema>;
type Vocabulary = Pick<Words, "nouns" | "styles" | "backgrounds">;

/** The words of the model in `folder`; undefined where it has no such list. */
export async function wordsOf(folder: string): Promise<Words | undefined> {
  const file = path.join(folder, "words.json");
  if ((await kindOf(file)) !== "file") return undefined;
  return parseConfig(schema, await readJson(file), "words.json");
}

/** What joins the others in the captions that such models learn from. */
const joining = ["a", "an", "the", "on", "background", "of"];
const split = (text: string): readonly string[] => text.toLowerCase().match(/[\p{L}\p{N}']+/gu) ?? [];

/** A warning for each word of `prompt` that is not known, with the nearest names that are. */
export function unknownWords(prompt: string, words: Vocabulary): string[] {
  const names = namesOf(words);
  const known = new Set([...joining, ...names.flatMap(split)]);
  const unknown = [...new Set(split(prompt).filter((word) => !known.has(word)))];
  return unknown.map((word) => {
    const near = nearest(word, names);
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
  const spelt = closest(word, names.flatMap(split));
  const begins = (name: string) => split(name).some((part: string) => part.slice(0, 4) === word.slice(0, 4));
  const found = names.filter(
    (name) => (spelt && split(name).includes(spelt)) || (word.length > 3 && begins(name)),
  );
  return [...new Set(found)].slice(0, 3);
}
