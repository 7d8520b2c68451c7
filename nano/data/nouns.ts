/**
 * @file Which concepts the small model is to know, and which of their drawings it never sees: rules that were written
 * before anything was trained.
 *
 * 1. A noun is a concept of the five groups of things below that all nine sets draw.
 * 2. Its label has at most two words, and none of those in `unclear`: phases, halves and states of another noun, which
 *    at 128 pixels are the same image.
 * 3. Of concepts that share their label's last word ("cow face", "rat face"), or whose label is contained in another's
 *    alias, the first in Unicode's order is taken.
 * 4. The twelve of `first`; then in turns from each subgroup, in Unicode's order within it, until there are `count`.
 * 5. Of the pairs of noun and style a tenth is held out, drawn by a hash of their names, at most two of one noun.
 */

import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { type Concept, type Style, styles } from "./emoji.js";

const groups = ["animals & nature", "food & drink", "travel & places", "activities", "objects"];
const count = 104;
/** What a newcomer is likely to ask for. */
export const first =
  "koala, cat, panda, elephant, penguin, red apple, strawberry, sunflower, mushroom, automobile, castle, crown".split(
    ", ",
  );
const unclear =
  /\b(face|moon|sun|oncoming|hatching|open|with|without|not|done|clinking|construction|wedding|cooking|prints|hotel|musical)\b/;

export type Noun = { name: string; code: string; aliases: readonly string[] };

export function chooseNouns(concepts: readonly Concept[]): Noun[] {
  const eligible = concepts.filter(
    (c) =>
      groups.includes(c.group) &&
      c.drawings.size === styles.length &&
      c.label.split(" ").length <= 2 &&
      !unclear.test(c.label),
  );
  const taken = new Set(first.map(lastWord));
  const distinct = eligible.filter(({ label }) => {
    const last = lastWord(label);
    if (taken.has(last)) return false;
    taken.add(last);
    return true;
  });
  const chosen = first.map((label) => eligible.find((c) => c.label === label)!);
  const subgroups = [...new Set(distinct.map((c) => c.subgroup))];
  const queues = subgroups.map((name) => distinct.filter((c) => c.subgroup === name));
  for (let turn = 0; chosen.length < count && queues.some((q) => turn < q.length); turn++)
    for (const { [turn]: next } of queues) if (next && chosen.length < count) chosen.push(next);
  return withAliases(chosen.sort((a, b) => a.order - b.order));
}

const lastWord = (label: string) => label.split(" ").at(-1)!;

/** An alias that two nouns share, or that is another noun's name, belongs to neither. */
function withAliases(concepts: readonly Concept[]): Noun[] {
  const names = new Set(concepts.map((c) => c.label));
  const plain = (name: string) => /^[a-z][a-z' ]*$/.test(name) && name.length > 2;
  const uses = new Map<string, number>();
  for (const c of concepts) for (const alias of c.aliases) uses.set(alias, (uses.get(alias) ?? 0) + 1);
  return concepts.map(({ label, code, aliases }) => ({
    name: label,
    code,
    aliases: aliases.filter((a) => plain(a) && !names.has(a) && uses.get(a) === 1).slice(0, 4),
  }));
}

/** Written before anything was trained, for sheets that compare stages. */
export const fortyPrompts = (): string[] =>
  readFileSync(new URL("../prompts.txt", import.meta.url), "utf8")
    .trim()
    .split("\n");

/** The pairs "name/style" that are kept from training. */
export function heldOut(nouns: readonly Noun[]): Set<string> {
  const rank = (pair: string) => createHash("sha256").update(`held out: ${pair}`).digest("hex");
  const pairs = nouns.flatMap(({ name }) => styles.map((style) => ({ name, pair: pairOf(name, style) })));
  const ordered = pairs.toSorted((a, b) => (rank(a.pair) < rank(b.pair) ? -1 : 1));
  const perNoun = new Map<string, number>();
  const held = new Set<string>();
  for (const { name, pair } of ordered) {
    const before = perNoun.get(name) ?? 0;
    if (held.size >= Math.round(pairs.length / 10)) break;
    if (before >= 2) continue;
    perNoun.set(name, before + 1);
    held.add(pair);
  }
  return held;
}

export const pairOf = (name: string, style: Style): string => `${name}/${style}`;
