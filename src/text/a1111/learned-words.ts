/**
 * @file How words of textual inversions are found: AUTOMATIC1111 by the ids of their names, so in any case and only whole;
 * Diffusers by their spelling, before a text becomes tokens.
 */

import { ClipTokenizer } from "../tokenizer.js";
import type { ChunkOptions } from "./chunks.js";

/** The tokenizer that reads a prompt's texts, and the words that are found among its ids. */
export function learnedBy(
  tokenizer: ClipTokenizer,
  byIds: boolean,
): { read: ClipTokenizer; learned: NonNullable<ChunkOptions["learned"]> } {
  if (!byIds || tokenizer.vectorTokens.length === 0) return { read: tokenizer, learned: [] };
  const read = new ClipTokenizer(tokenizer.data);
  const learned = tokenizer.vectorTokens.map(({ token, ids }) => ({
    ids: read.tokenIds(token),
    vectors: ids,
  }));
  return { read, learned };
}
