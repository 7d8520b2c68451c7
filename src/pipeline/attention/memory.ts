/** @file What attention maps take of the host's memory. */

import { attentionPrefix } from "../../models/cross-attention.js";
import { count, type Tensor } from "../../tensor/tensor.js";
import type { CheckedRequest } from "../request.js";
import type { PromptTokens } from "./words.js";

/** `rows`: images of the batch; `tokens`: of all its prompts; `calls`: how many are kept, besides sum and running one. */
export type AttentionSize = { rows: number; tokens: number; calls: number };

/** What a request of so many calls of the U-Net records. */
export function attentionSize(
  words: readonly PromptTokens[],
  { batch, attentionMaps }: Pick<CheckedRequest, "batch" | "attentionMaps">,
  calls: number,
): AttentionSize {
  const tokens = new Set(words.flatMap(({ places }) => places)).size;
  return { rows: batch, tokens, calls: attentionMaps === "steps" ? calls : 0 };
}

/** Bytes of the sum, of the running call's results, and of the calls that are kept. */
export function recordedBytes(
  results: Readonly<Record<string, Tensor>>,
  size: AttentionSize | undefined,
): number {
  if (!size) return 0;
  const maps = Object.entries(results).filter(([name]) => name.startsWith(attentionPrefix));
  return maps.reduce((sum, [, { shape }]) => sum + 4 * count(shape), 0) * (2 + size.calls);
}
