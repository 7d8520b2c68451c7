/** @file Example prompts; for a model with a vocabulary, made of its words. */

import type { Words } from "../../src/pipeline/vocabulary.js";
import { phraseOf } from "./prompt-words.js";

const genericExamples = [
  "a red bicycle beside a yellow wall",
  "a koala asleep in a eucalyptus tree, watercolour",
  "a lighthouse in a storm, oil painting",
];

/** Three different ones, of pairs of noun and style that are in the training data. */
export function examplesOf(words: Words | undefined): readonly string[] {
  if (!words || words.nouns.length === 0) return genericExamples;
  const { nouns, styles, backgrounds, heldOut } = words;
  return [0, 1, 2].map((i) => {
    const noun = nouns[Math.floor((i * nouns.length) / 3)]!;
    const from = Math.floor((i * styles.length) / 3);
    const style = [...styles.slice(from), ...styles.slice(0, from)].find(
      ({ set }) => !heldOut.includes(`${noun.name}/${set}`),
    );
    const background = i === 1 ? undefined : backgrounds[Math.floor(((i + 1.5) * backgrounds.length) / 4)];
    const parts = [
      phraseOf("noun", noun.name),
      ...(style ? [phraseOf("style", style.name)] : []),
      ...(background === undefined ? [] : [phraseOf("background", background)]),
    ];
    return parts.join(", ");
  });
}
