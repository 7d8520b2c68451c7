/**
 * @file Notes on the prompts while they are typed, by the same rules as the server's warnings: unknown words, syntax of
 * other programs, text beyond the token limit, and prompts without effect.
 */

import { computed } from "@preact/signals";
import { noEffectWarning } from "../../src/pipeline/prompt-warnings.js";
import { type UnknownWord, unknownWords, unknownWordWarnings } from "../../src/pipeline/vocabulary.js";
import { syntaxWarnings } from "../../src/text/prompt-syntax.js";
import { cutWarning } from "../../src/text/token-count.js";
import { marksOf, unmatchedNote } from "./prompt-marks.js";
import { grammarProblem, reading, readingFields, wordsIn } from "./prompt-reading.js";
import { guidanceScale, model, negativePrompt, prompt } from "./settings.js";
import { type CountedText, tokenCounts } from "./token-counts.js";

export type PromptNotes = {
  unknown: readonly UnknownWord[];
  /** Sentences. */
  others: readonly string[];
};

const none: PromptNotes = { unknown: [], others: [] };
const guided = computed(() => guidanceScale.value > 1);

export const promptNotes = computed(() => notesOf("prompt", prompt.value, tokenCounts.value?.prompt));

export const negativeNotes = computed((): PromptNotes => {
  if (negativePrompt.value === "") return none;
  if (!guided.value) return { unknown: [], others: [bare(noEffectWarning(guidanceScale.value))] };
  return notesOf("negative prompt", negativePrompt.value, tokenCounts.value?.negative);
});

function notesOf(field: string, text: string, count: CountedText | undefined): PromptNotes {
  const { words } = model.value ?? {};
  const problem = grammarProblem(field, text);
  return {
    unknown: words ? unknownWords(wordsIn(text), words, { unfinished: true }) : [],
    others: [
      ...unmatched(text, count),
      ...(problem === undefined ? [] : [bare(problem)]),
      ...[...syntaxWarnings(field, text, readingFields(text)), ...cut(field, text, count)].map(bare),
    ],
  };
}

/** Nothing while the count is still that of an earlier text. */
const cut = (field: string, text: string, count: CountedText | undefined): string[] =>
  count?.cut !== undefined && count.text === text ? [cutWarning(field, count.limit, count.cut)] : [];

/** As soon as typing pauses, which the count tells: a bracket that was just opened is not worth a sentence. */
function unmatched(text: string, count: CountedText | undefined): string[] {
  const note = count?.text === text && reading.value !== "none" ? unmatchedNote(marksOf(text)) : undefined;
  return note === undefined ? [] : [note];
}

/** Without the name of the field, which is above the note. */
const bare = (warning: string): string => {
  const text = warning.slice(warning.indexOf(": ") + 2);
  return `${text.slice(0, 1).toUpperCase()}${text.slice(1)}`;
};

/** The warnings that the server will return for these prompts; the page has already shown them as notes. */
export function warningsShown(): ReadonlySet<string> {
  const { words } = model.value ?? {};
  const of = (field: string, text: string, count: CountedText | undefined) => [
    ...syntaxWarnings(field, text, readingFields(text)),
    ...(words ? unknownWordWarnings(wordsIn(text), words) : []),
    ...cut(field, text, count),
  ];
  const negative = negativePrompt.value;
  return new Set([
    ...of("prompt", prompt.value, tokenCounts.value?.prompt),
    ...(guided.value ? of("negative prompt", negative, tokenCounts.value?.negative) : []),
    ...(guided.value || negative === "" ? [] : [noEffectWarning(guidanceScale.value)]),
  ]);
}
