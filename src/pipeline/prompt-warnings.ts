/**
 * @file Warns of what a model will not make of its prompts: other programs' syntax, unknown words, no effect. The page
 * says the same beforehand, so this must not know Node.
 */

import { syntaxWarnings } from "../text/prompt-syntax.js";
import type { CheckedRequest } from "./request.js";
import { unknownWordWarnings, type Words } from "./vocabulary.js";

/** `words` are those that a model of few words knows. */
export function warnOfPrompts(request: CheckedRequest, words: Words | undefined): void {
  const { prompts, guided, guidanceScale, warnings } = request;
  const { prompt2, negativePrompts, negativePrompt2 } = request;
  const texts: readonly (readonly [field: string, texts: readonly string[] | undefined])[] = [
    ["prompt", prompts],
    ["second prompt", prompt2 === undefined ? undefined : request.prompts2],
    ["negative prompt", guided ? negativePrompts : undefined],
    [
      "second negative prompt",
      guided && negativePrompt2 !== undefined ? request.negativePrompts2 : undefined,
    ],
  ];
  for (const [field, list = []] of texts) {
    for (const [i, text] of list.entries()) {
      for (const message of syntaxWarnings(field, text)) warnings.add(message, i);
      for (const message of words ? unknownWordWarnings(text, words) : []) warnings.add(message, i);
    }
  }
  if (guided || !negativePrompts?.some((text) => text !== "")) return;
  warnings.add(noEffectWarning(guidanceScale));
}

/** Of a negative prompt where no unconditional pass runs. */
export const noEffectWarning = (guidanceScale: number): string =>
  `negative prompt: has no effect at guidance ${guidanceScale}, only above 1`;
