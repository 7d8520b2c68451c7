/** @file Counts the tokens of a text for the text encoders of a model, and finds the end that they cut off. */

import { InvalidRequest } from "../errors.js";
import type { Fragment } from "./a1111/attention.js";
import { chunksOf } from "./a1111/chunks.js";
import { learnedBy } from "./a1111/learned-words.js";
import { fragmentsOf, type PromptSyntax, readPrompt, scheduled } from "./prompt-rules.js";
import type { ClipTokenizer } from "./tokenizer.js";

/** A tokenizer, and how many tokens its text encoder reads. */
export type TokenLimit = { tokenizer: ClipTokenizer; maxTokens: number };

/** `tokens` and `limit` include the start and end tokens; `cut` is the text that does not fit. */
export type TokenCount = {
  tokens: number;
  limit: number;
  cut?: string | undefined;
  chunks?: number | undefined;
};

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

/** Of which steps the texts of a schedule are counted. */
const countedSteps = 20;

/**
 * The same for a text that is read in chunks, of which nothing is cut: of what its steps and compositions see the text of
 * the most tokens, and its chunks. A text that the grammar refuses is counted as plain text.
 */
export function countChunks(limits: readonly TokenLimit[], text: string, syntax: PromptSyntax): TokenCount {
  const counts = limits.map(({ tokenizer, maxTokens }): TokenCount & { chunks: number } => {
    const { read, learned } = learnedBy(tokenizer, syntax === "a1111");
    const backtrack = syntax === "a1111" ? 20 : 0;
    const lengths = textsOf(text, syntax).map((fragments) => {
      const chunks = chunksOf(fragments, read, { maxTokens, backtrack, learned });
      const tokens = chunks.reduce((sum, { ids }) => sum + ids.indexOf(read.eosId, 1) - 1, 2);
      return { tokens, limit: maxTokens, chunks: chunks.length };
    });
    return lengths.reduce((most, one) => (one.tokens > most.tokens ? one : most));
  });
  return counts.reduce((most, count) => (count.chunks > most.chunks ? count : most));
}

function textsOf(text: string, syntax: PromptSyntax): Fragment[][] {
  try {
    const parts = readPrompt(text, syntax).parts.flatMap((part) =>
      scheduled(part.text, syntax, countedSteps),
    );
    return [...new Set(parts.map((part) => part.text))].map((one) => fragmentsOf(one, syntax, "prompt"));
  } catch (error) {
    if (error instanceof InvalidRequest) return [[{ text, weight: 1 }]];
    throw error;
  }
}

/** The warning for a text whose end is cut off; `field` is the text's name in it. */
export const cutWarning = (field: string, limit: number, cut: string): string =>
  `${field}: only ${limit} tokens reach the model; this was cut off: "${cut}"`;

const excess = ({ tokens, limit }: TokenCount): number => tokens - limit;
