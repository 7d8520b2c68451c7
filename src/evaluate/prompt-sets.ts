/**
 * @file Prompts that come with `koala evaluate`. `complex` and `text` are what KOALA's model card names as its limits:
 * attributes of several objects, and words in images. The categories of `complex` are those of T2I-CompBench (Huang et al.
 * 2023); the prompts are ours.
 */

import { type Words, withArticle } from "../pipeline/vocabulary.js";

/** A prompt, and the group that it is reported in. */
export type EvaluationPrompt = { prompt: string; category?: string };

export const promptSets = ["complex", "text", "vocabulary"] as const;
export type PromptSet = (typeof promptSets)[number];

const things = ["car", "cup", "chair", "backpack", "umbrella", "vase", "bowl", "bicycle", "book", "clock"];
const colors = ["red", "blue", "green", "yellow", "purple", "orange", "black", "white"];
const shapes = ["round", "square", "triangular", "oval", "cubic", "cylindrical"];
const textures = ["wooden", "metallic", "glass", "leather", "fluffy", "plastic"];
const animals = ["dog", "cat", "horse", "rabbit", "bird", "elephant", "bear", "sheep"];
const places = ["on top of", "under", "to the left of", "to the right of", "behind", "in front of"];
const counts = ["two", "three", "four", "five", "six", "seven"];
const scenes = [
  "a black dog in a red scarf sits beside a white cat on a wooden bench",
  "a round glass table with a blue vase and three yellow flowers in front of a brick wall",
  "a small green boat on a calm lake, with snowy mountains and a red cabin behind it",
  "an old man with a gray beard feeds two white birds in a park in autumn",
  "a yellow tram passes a tall stone church while a woman with an orange umbrella waits",
  "a wooden table with a silver laptop, a stack of four books and a steaming white cup",
  "a child in a striped sweater holds a large red balloon in a field of purple flowers",
  "a fluffy brown bear and a metallic robot play chess under a big tree at night",
];

const [surfaces, words] = [
  [
    (text: string) => `a wooden sign that says "${text}"`,
    (text: string) => `a white t-shirt with the words "${text}" printed on it`,
    (text: string) => `the cover of a book with the title "${text}"`,
    (text: string) => `a neon sign at night that reads "${text}"`,
    (text: string) => `a cake with "${text}" written on it in icing`,
    (text: string) => `a chalkboard on which "${text}" is written`,
  ],
  {
    "one short word": ["OPEN", "KOALA", "CAFE", "STOP"],
    "one long word": ["WELCOME", "BREAKFAST", "UNIVERSITY", "ADVENTURE"],
    "several words": ["HAPPY BIRTHDAY", "GOOD MORNING", "MIND THE GAP", "THE QUICK BROWN FOX"],
  },
];

const at = <T>(list: readonly T[], i: number): T => list[i % list.length]!;
const article = withArticle;
/** Two different entries for each i, not always the same two together. */
const two = <T>(list: readonly T[], i: number): [T, T] => [at(list, i), at(list, i + 1 + (i % 3))];

function complex(): EvaluationPrompt[] {
  const twelve = Array.from({ length: 12 }, (_, i) => i);
  const bound = (category: string, attributes: readonly string[]) =>
    twelve.map((i) => {
      const [[a, b], [x, y]] = [two(attributes, i), two(things, 2 * i)];
      return { category, prompt: `${article(`${a} ${x}`)} and ${article(`${b} ${y}`)}` };
    });
  return [
    ...bound("color", colors),
    ...bound("shape", shapes),
    ...bound("texture", textures),
    ...twelve.map((i) => ({
      category: "spatial",
      prompt: `${article(at(animals, i))} ${at(places, i)} ${article(at(things, 3 * i + 2))}`,
    })),
    ...twelve.map((i) => ({
      category: "numeracy",
      prompt: `${at(counts, i)} ${plural(at(i % 2 === 0 ? animals : things, i))}`,
    })),
    ...scenes.map((prompt) => ({ category: "scene", prompt })),
  ];
}

const plural = (noun: string): string => (noun === "sheep" ? noun : `${noun}s`);

const text = (): EvaluationPrompt[] =>
  Object.entries(words).flatMap(([category, list]) =>
    list.flatMap((word, i) => [0, 1, 2].map((k) => ({ category, prompt: at(surfaces, i + 2 * k)(word) }))),
  );

/** Every noun in every style, on the backgrounds in turn, half of them on the first: what a small model's words allow. */
function vocabulary({ nouns, styles, backgrounds, heldOut }: Words): EvaluationPrompt[] {
  const held = new Set(heldOut);
  const [, ...colored] = backgrounds;
  return nouns.flatMap((noun, n) =>
    styles.map((style, s) => {
      const i = n * styles.length + s;
      const behind = i % 2 === 0 || colored.length === 0 ? "" : `, on a ${at(colored, i >> 1)} background`;
      const category = held.has(`${noun.name}/${style.set ?? style.name}`)
        ? "held-out pairs"
        : "trained pairs";
      return {
        prompt: `${article(noun.name)}, ${style.name}${behind}`,
        ...(held.size > 0 && { category }),
      };
    }),
  );
}

/** The prompts of a set; undefined for `vocabulary` of a model that lists no words. */
export function promptsOfSet(set: PromptSet, words: Words | undefined): EvaluationPrompt[] | undefined {
  if (set === "vocabulary") return words && vocabulary(words);
  return { complex, text }[set]();
}
