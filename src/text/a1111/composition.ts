/** @file AUTOMATIC1111's AND: prompts that are predicted apart and added, each with a weight (Liu et al., arXiv 2206.01714). */

import { InvalidRequest } from "../../errors.js";

/** One of the prompts of a composition. */
export type ComposedPrompt = { text: string; weight: number };

const andWord = /(?<![\p{L}\p{N}_])AND(?![\p{L}\p{N}_])/u;
/** From the last colon: ":1.2". */
const weightAtEnd = /^:\s*([-+]?(?:\d+\.?|\d*\.\d+))$/;

/** The prompts between ANDs; a weight may stand at the end of each, "a cat :1.2 AND a dog", also of a single one. */
export function composition(prompt: string, field = "prompt"): ComposedPrompt[] {
  return prompt.split(andWord).map((part) => {
    const text = part.trimEnd();
    const from = text.lastIndexOf(":");
    const [, weight] = from < 0 ? [] : (weightAtEnd.exec(text.slice(from)) ?? []);
    if (weight === undefined) return { text, weight: 1 };
    if (Number.isFinite(Number(weight)))
      return { text: text.slice(0, from).trimEnd(), weight: Number(weight) };
    throw new InvalidRequest(
      field,
      prompt,
      `the weight of AND must be finite, got ":${weight.slice(0, 40)}". Take a smaller one.`,
    );
  });
}
