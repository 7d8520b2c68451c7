/** @file How many tokens a text is to the text encoders of a model, and what of it does not reach them. */

import type { ClipTokenizer } from "./tokenizer.js";

/** A tokenizer, and how many tokens its text encoder reads. */
export type TokenLimit = { tokenizer: ClipTokenizer; maxTokens: number };

/** `tokens` and `limit` count the marks of start and end, which take two; `cut` is what does not fit. */
export type TokenCount = { tokens: number; limit: number; cut?: string | undefined };

/**
 * Counted by the encoder that reads least of the text. Stable Diffusion XL's two differ where a text holds "!", which
 * is what the second one pads with and therefore never joins to others.
 */
export function countTokens(limits: readonly TokenLimit[], text: string): TokenCount {
  const counts = limits.map(({ tokenizer, maxTokens }): TokenCount => {
    const { uncut, truncated } = tokenizer.encode(text, { maxLength: maxTokens });
    return { tokens: uncut.length, limit: maxTokens, ...(truncated !== undefined && { cut: truncated }) };
  });
  return counts.reduce((least, count) => (excess(count) > excess(least) ? count : least));
}

/** What is said of a text whose end does not reach the model; `field` is what the text is called. */
export const cutWarning = (field: string, limit: number, cut: string): string =>
  `${field}: only ${limit} tokens reach the model; this was cut off: "${cut}"`;

const excess = ({ tokens, limit }: TokenCount): number => tokens - limit;
