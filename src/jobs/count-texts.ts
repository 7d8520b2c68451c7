/** @file Counts the tokens of texts by a model's tokenizers, as the form shows them while a prompt is typed. */

import { defaultLongPrompts } from "../text/prompt-rules.js";
import { countChunks, countTokens, type TokenCount, type TokenLimit } from "../text/token-count.js";
import type { TokensRequest } from "./schemas.js";

export function countTexts(
  limits: readonly TokenLimit[],
  { texts, promptSyntax = "none", longPrompts = defaultLongPrompts(promptSyntax) }: TokensRequest,
): TokenCount[] {
  return texts.map((text) =>
    longPrompts === "cut" ? countTokens(limits, text) : countChunks(limits, text, promptSyntax),
  );
}
