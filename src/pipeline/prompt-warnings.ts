/**
 * @file Warns of prompts that have another effect than they look: other programs' syntax, unknown words, no guidance.
 * Also runs in the page: must not import Node.
 */

import { wordsOf } from "../text/prompt-rules.js";
import { syntaxWarnings } from "../text/prompt-syntax.js";
import type { CheckedRequest } from "./request.js";
import { unknownWordWarnings, type Words } from "./vocabulary.js";

/** `words`: the vocabulary of a model that knows few words. */
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
      for (const message of syntaxWarnings(field, text, request)) warnings.add(message, i);
      const said = words ? wordsOf(text, request.promptSyntax) : "";
      for (const message of words ? unknownWordWarnings(said, words) : []) warnings.add(message, i);
    }
  }
  if (request.embedsGuidance && request.guidanceRescale > 0)
    warnings.add(`guidanceRescale: ${withoutSecondPass}`);
  if (guided || !negativePrompts?.some((text) => text !== "")) return;
  warnings.add(
    request.embedsGuidance ? `negative prompt: ${withoutSecondPass}` : noEffectWarning(guidanceScale),
  );
}

/** Of models with `time_cond_proj_dim`. */
const withoutSecondPass = "has no effect: this model reads the guidance scale itself, without a second pass";

/** The warning of a negative prompt without guidance. */
export const noEffectWarning = (guidanceScale: number): string =>
  `negative prompt: has no effect at guidance ${guidanceScale}, only above 1`;
