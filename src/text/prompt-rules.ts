/** @file How prompts are read: the names of the rules, and a prompt's parts by them. Must not import Node. */

import { InvalidRequest } from "../errors.js";
import { type Fragment, parseAttention } from "./a1111/attention.js";
import { type ComposedPrompt, composition } from "./a1111/composition.js";
import { promptSchedule, type ScheduledText } from "./a1111/editing.js";
import { type LoraTag, takeLoras } from "./a1111/extra-networks.js";

/** "none": as plain text, as in Diffusers; "a1111": by AUTOMATIC1111's grammar. */
export type PromptSyntax = "none" | "a1111";
/** What becomes of text that the encoder does not read at once: cut off, with a warning, or read in further chunks. */
export type LongPrompts = "cut" | "chunks";
/** A1111's names of what follows the weighting: "original" restores the mean of the embeddings, "noNorm" does not. */
export type Emphasis = "original" | "noNorm";

export const promptSyntaxes = ["none", "a1111"] as const satisfies readonly PromptSyntax[];
export const longPromptRules = ["cut", "chunks"] as const satisfies readonly LongPrompts[];
export const emphasisRules = ["original", "noNorm"] as const satisfies readonly Emphasis[];

/** A1111's grammar means chunks; Diffusers cuts. */
export const defaultLongPrompts = (syntax: PromptSyntax): LongPrompts =>
  syntax === "a1111" ? "chunks" : "cut";

/** A prompt: what it is composed of, and the LoRAs that it names, without their tags in the texts. */
export type ReadPrompt = { text: string; parts: readonly ComposedPrompt[]; loras: readonly LoraTag[] };

/** Reads a prompt; InvalidRequest names `field`. Negative prompts have neither AND nor LoRAs. */
export function readPrompt(
  prompt: string,
  syntax: PromptSyntax,
  { field = "prompt", negative = false }: { field?: string; negative?: boolean } = {},
): ReadPrompt {
  if (syntax === "none" || negative) {
    if (syntax === "a1111") parseAttention(prompt, field);
    return { text: prompt, parts: [{ text: prompt, weight: 1 }], loras: [] };
  }
  const { text, loras } = takeLoras(prompt, field);
  const parts = composition(text, field);
  if (parts.length > mostParts) {
    const rule = `must be composed of at most ${mostParts} prompts by AND, got ${parts.length}. Leave some out.`;
    throw new InvalidRequest(field, prompt, rule);
  }
  for (const part of parts) parseAttention(part.text, field);
  return { text, parts, loras };
}

/** Each is a run of the U-Net in every step. */
const mostParts = 32;

/** The texts of a prompt over `calls` calls of the network. */
export const scheduled = (text: string, syntax: PromptSyntax, calls: number): ScheduledText[] =>
  syntax === "a1111" ? promptSchedule(text, calls) : [{ until: calls, text }];

/** The weighted fragments of one text. */
export const fragmentsOf = (text: string, syntax: PromptSyntax, field: string): Fragment[] =>
  syntax === "a1111" ? parseAttention(text, field) : [{ text, weight: 1 }];

/**
 * The words of a prompt that may reach the model at some step, without weights: what a vocabulary is looked for in. All of
 * a prompt that the grammar refuses.
 */
export function wordsOf(prompt: string, syntax: PromptSyntax, steps = 8): string {
  if (syntax === "none") return prompt;
  try {
    return a1111Words(prompt, steps);
  } catch (error) {
    if (error instanceof InvalidRequest) return prompt;
    throw error;
  }
}

function a1111Words(prompt: string, steps: number): string {
  const { text } = takeLoras(prompt);
  const texts = composition(text).flatMap((part) =>
    promptSchedule(part.text, steps).map((entry) => entry.text),
  );
  return [...new Set(texts)]
    .map((one) =>
      parseAttention(one)
        .map((fragment) => (isWord(fragment) ? fragment.text : " "))
        .join(""),
    )
    .join(", ");
}

const isWord = ({ text, weight }: Fragment): boolean => !(text === "BREAK" && weight === -1);
