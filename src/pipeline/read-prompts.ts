/** @file Reads a request's prompts by the syntax that it names. Also runs in the page: must not import Node. */

import { InvalidRequest } from "../errors.js";
import { defaultLongPrompts, readPrompt } from "../text/prompt-rules.js";
import type { AcceptedRequest, GenerateRequest } from "./request.js";
import type { Warnings } from "./warnings.js";

export type ReadPrompts = Pick<
  AcceptedRequest,
  "prompts" | "promptSyntax" | "longPrompts" | "padConditions" | "emphasis" | "compositions" | "loraTags"
>;

/** InvalidRequest for what the syntax does not have, and for prompts that name different LoRAs. */
export function readPrompts(
  request: GenerateRequest,
  given: readonly string[],
  negativePrompts: readonly string[] | undefined,
  warnings: Warnings,
): ReadPrompts {
  const { promptSyntax = "none", longPrompts = defaultLongPrompts(promptSyntax) } = request;
  const { padConditions = false, emphasis = "original" } = request;
  if (typeof padConditions !== "boolean")
    throw new InvalidRequest("padConditions", padConditions, `must be true or false, got ${padConditions}.`);
  if (promptSyntax === "a1111") refuseSecond(request);
  if (promptSyntax === "none" && request.emphasis !== undefined) {
    const rule = 'belongs to promptSyntax "a1111". Leave it out, or give promptSyntax.';
    throw new InvalidRequest("emphasis", emphasis, rule);
  }
  const read = given.map((prompt) => readPrompt(prompt, promptSyntax));
  for (const text of negativePrompts ?? [])
    readPrompt(text, promptSyntax, { field: "negativePrompt", negative: true });
  for (const [i, { parts }] of read.entries()) {
    const [only, ...others] = parts;
    if (others.length > 0 || only!.weight === 1) continue;
    const rule = `":${only!.weight}" at its end is the weight of the whole prompt, as in A1111`;
    warnings.add(`prompt: ${rule}; put the words that it is for in brackets, or a comma behind it`, i);
  }
  const [first, ...rest] = read.map(({ loras }) => loras);
  if (rest.some((loras) => JSON.stringify(loras) !== JSON.stringify(first))) {
    const rule =
      "must name the same LoRAs as the others, since they change the model for all. Generate them apart.";
    throw new InvalidRequest("prompt", given, rule);
  }
  return {
    ...{ promptSyntax, longPrompts, padConditions, emphasis },
    prompts: read.map(({ text }) => text),
    compositions: read.map(({ parts }) => parts),
    loraTags: first ?? [],
  };
}

/** A1111 has one prompt for both encoders. */
function refuseSecond(request: GenerateRequest): void {
  const field = (["prompt2", "negativePrompt2"] as const).find((name) => request[name] !== undefined);
  if (field === undefined) return;
  const rule = 'belongs to promptSyntax "none": in A1111 both text encoders read one prompt. Leave it out.';
  throw new InvalidRequest(field, request[field], rule);
}
