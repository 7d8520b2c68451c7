/** @file Which prompts can have attention maps: those that are one text in all steps. */

import { InvalidRequest } from "../../errors.js";
import { scheduled } from "../../text/prompt-rules.js";
import type { AcceptedRequest } from "../request.js";

type Prompts = Pick<AcceptedRequest, "compositions" | "promptSyntax" | "numInferenceSteps">;

/** InvalidRequest for any other. */
export function checkOneText({ compositions, promptSyntax, numInferenceSteps }: Prompts): void {
  const refuse = (what: string): never => {
    const rule = `needs prompts that are one text in all steps, got one ${what}. Leave that out, or the maps.`;
    throw new InvalidRequest("attentionMaps", true, rule);
  };
  for (const parts of compositions) {
    if (parts.length > 1) refuse("composed by AND");
    for (const { text } of parts)
      if (scheduled(text, promptSyntax, numInferenceSteps).length > 1) refuse("that changes during the run");
  }
}
