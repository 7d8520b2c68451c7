/** @file How the prompts are read, as chosen in the form: by AUTOMATIC1111's grammar, with alternatives, or as plain text. */

import { computed, signal } from "@preact/signals";
import { InvalidRequest } from "../../src/errors.js";
import type { GenerationRequest } from "../../src/jobs/schemas.js";
import { type LongPrompts, readPrompt, wordsOf } from "../../src/text/prompt-rules.js";
import { promptSyntax } from "../../src/text/prompt-syntax.js";

/** "alternatives" is A1111's grammar with {a|b} and __wildcards__. */
export type Reading = "alternatives" | "a1111" | "none";

export const readings: readonly (readonly [value: Reading, text: string])[] = [
  ["alternatives", "AUTOMATIC1111's, with {a|b}"],
  ["a1111", "AUTOMATIC1111's"],
  ["none", "None: plain text"],
];
export const longPromptChoices: readonly (readonly [value: LongPrompts, text: string])[] = [
  ["chunks", "Read in chunks"],
  ["cut", "Cut off"],
];

export const reading = signal<Reading>("alternatives");
export const longPrompts = signal<LongPrompts>("chunks");
const syntax = computed(() => (reading.value === "none" ? "none" : "a1111"));

type Fields = Pick<GenerationRequest, "promptSyntax" | "longPrompts" | "dynamicPrompts">;

/** The fields of a request with these prompts. */
export function readingFields(...prompts: readonly string[]): Fields {
  const dynamic = reading.value === "alternatives" && prompts.some(hasAlternatives);
  return {
    ...(syntax.value === "a1111" && { promptSyntax: "a1111" }),
    ...(longPrompts.value === "cut" && { longPrompts: "cut" }),
    ...(dynamic && { dynamicPrompts: true }),
  };
}

const hasAlternatives = (prompt: string): boolean => promptSyntax(prompt).has("Dynamic Prompts");

/** Chooses the reading of an image's settings. */
export function applyReading(
  from: Fields & { prompt?: string | undefined; negativePrompt?: string | undefined },
): void {
  const isPlain =
    hasAlternatives(`${from.prompt ?? ""}\n${from.negativePrompt ?? ""}`) && !from.dynamicPrompts;
  reading.value = from.promptSyntax !== "a1111" ? "none" : isPlain ? "a1111" : "alternatives";
  longPrompts.value = from.longPrompts ?? "chunks";
}

/** What the grammar refuses in a prompt, as a sentence that begins with the field's name. */
export function grammarProblem(field: string, prompt: string): string | undefined {
  try {
    readPrompt(prompt, syntax.value, { field, negative: field !== "prompt" });
    return undefined;
  } catch (error) {
    if (error instanceof InvalidRequest) return error.message;
    throw error;
  }
}

/** The words that reach the model: without weights, tags and keywords. Nothing of a prompt that the grammar refuses. */
export function wordsIn(prompt: string): string {
  try {
    return wordsOf(prompt, syntax.value);
  } catch (error) {
    if (error instanceof InvalidRequest) return "";
    throw error;
  }
}
