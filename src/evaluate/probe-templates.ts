/**
 * @file The prompts of a probe: templates with places for words, `a {colour} {noun} and a {colour} {noun}`. The second place of a
 * slot is called `colour 2` and has another word than the first; `{colour 1}` repeats the first.
 */

import { InvalidRequest, listed } from "../errors.js";

/** The words of each slot. */
export type Slots = Readonly<Record<string, readonly string[]>>;

export type ProbePrompt = {
  template: string;
  prompt: string;
  /** The word at each place: `colour`, `colour 2`. */
  values: Readonly<Record<string, string>>;
};

const mostPrompts = 10_000;
const places = /\{([^{}]*)\}/g;

type Place = { slot: string; key: string };

function placesOf(text: string): Place[] {
  const counts = new Map<string, number>();
  return [...text.matchAll(places)].map(([, inside = ""]) => {
    const [, slot = "", given] = /^(.*?)(?:\s+(\d+))?$/.exec(inside.trim()) ?? [];
    const number = given === undefined ? (counts.get(slot) ?? 0) + 1 : Number(given);
    if (given === undefined) counts.set(slot, number);
    return { slot, key: number === 1 ? slot : `${slot} ${number}` };
  });
}

/** InvalidRequest where a text has a brace without its partner, or a place of no slot. */
export function checkPlaces(text: string, slots: Slots, where: string): void {
  if (/[{}]/.test(text.replace(places, "")))
    throw new InvalidRequest(where, text, `must have braces in pairs, as in "a {noun}", got "${text}".`);
  const unknown = placesOf(text).find(({ slot }) => !Object.hasOwn(slots, slot));
  if (!unknown) return;
  const known = Object.keys(slots);
  const remedy = known.length > 0 ? `Slots: ${listed(known, 20)}.` : "Add slots.";
  throw new InvalidRequest(
    where,
    text,
    `must name slots in braces, got {${unknown.slot}} in "${text}". ${remedy}`,
  );
}

/** A text with its places filled; undefined where `values` lacks one of them. */
export function filled(text: string, values: ProbePrompt["values"]): string | undefined {
  const keys = placesOf(text).map(({ key }) => key);
  if (!keys.every((key) => Object.hasOwn(values, key))) return undefined;
  let next = 0;
  return text.replace(places, () => values[keys[next++]!]!);
}

/** All prompts of all templates, in the order of the templates and words; a prompt that comes twice is kept once. */
export function promptsOfTemplates(templates: readonly string[], slots: Slots): ProbePrompt[] {
  const prompts = new Map<string, ProbePrompt>();
  for (const template of templates) {
    checkPlaces(template, slots, "templates");
    const distinct = new Map(placesOf(template).map((place) => [place.key, place]));
    const before = prompts.size;
    for (const values of assignments([...distinct.values()], slots)) {
      const prompt = filled(template, values)!;
      if (!prompts.has(prompt)) prompts.set(prompt, { template, prompt, values });
      if (prompts.size > mostPrompts)
        throw new InvalidRequest(
          "templates",
          template,
          `must give at most ${mostPrompts} prompts, got more. Name fewer words.`,
        );
    }
    if (prompts.size === before)
      throw new InvalidRequest(
        "templates",
        template,
        `must give prompts that no other gives, got none by "${template}": its slots have fewer different words than places, or it is there twice.`,
      );
  }
  return [...prompts.values()];
}

/** Every choice of words, of which two places of one slot never have the same. */
function* assignments(
  [first, ...rest]: readonly Place[],
  slots: Slots,
  taken: readonly (Place & { word: string })[] = [],
): Generator<Record<string, string>> {
  if (!first) {
    yield Object.fromEntries(taken.map(({ key, word }) => [key, word]));
    return;
  }
  const used = new Set(taken.flatMap(({ slot, word }) => (slot === first.slot ? [word] : [])));
  for (const word of new Set(slots[first.slot]!))
    if (!used.has(word)) yield* assignments(rest, slots, [...taken, { ...first, word }]);
}
