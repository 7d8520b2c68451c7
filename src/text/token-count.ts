/** @file Counts the tokens of a text for the text encoders of a model, and finds the end that they cut off. */

import type { ClipTokenizer } from "./tokenizer.js";

/** A tokenizer, and how many tokens its text encoder reads. */
export type TokenLimit = { tokenizer: ClipTokenizer; maxTokens: number };

/** `tokens` and `limit` include the start and end tokens; `cut` is the text that does not fit. */
export type TokenCount = { tokens: number; limit: number; cut?: string | undefined };

/**
 * The count of the encoder that reads the least of the text. Those of Stable Diffusion XL differ for texts with "!": the
 * second one pads with it, so it never merges it with other characters.
 */
export function countTokens(limits: readonly TokenLimit[], text: string): TokenCount {
  const counts = limits.map(({ tokenizer, maxTokens }): TokenCount => {
    const { uncut, truncated } = tokenizer.encode(text, { maxLength: maxTokens });
    return { tokens: uncut.length, limit: maxTokens, ...(truncated !== undefined && { cut: truncated }) };
  });
  return counts.reduce((least, count) => (excess(count) > excess(least) ? count : least));
}

/** The warning for a text whose end is cut off; `field` is the text's name in it. */
export const cutWarning = (field: string, limit: number, cut: string): string =>
  `${field}: only ${limit} tokens reach the model; this was cut off: "${cut}"`;

const excess = ({ tokens, limit }: TokenCount): number => tokens - limit;
