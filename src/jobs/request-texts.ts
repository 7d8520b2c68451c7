/** @file The texts of a request: its dynamic prompts expanded for each image, and the LoRAs that its prompt names. */

import { seedAfter } from "../diffusion/seed.js";
import { InvalidRequest } from "../errors.js";
import { expandTexts } from "../pipeline/expand-request.js";
import { unknownLora } from "../pipeline/prompt-loras.js";
import { takeLoras } from "../text/a1111/extra-networks.js";
import type { Wildcards } from "../text/dynamic-prompts.js";
import type { ServedModel } from "./model-registry.js";
import type { GenerationRequest } from "./schemas.js";

/** The texts of one image. */
export type ImageTexts = { prompt: string; negativePrompt?: string | undefined };

type Given = Pick<GenerationRequest, "promptSyntax" | "dynamicPrompts" | "lora"> & ImageTexts;
type Lora = NonNullable<GenerationRequest["lora"]>;

/** The prompt without tags, and the LoRAs that it names beside those of the request; InvalidRequest for unknown ones. */
export function promptLoras({ prompt, promptSyntax, dynamicPrompts, lora = [] }: Given, model: ServedModel) {
  if (promptSyntax !== "a1111") return { prompt, lora };
  if (dynamicPrompts && /\{[^{}]*<(?:lora|lyco):/.test(prompt)) {
    const rule =
      "must name LoRAs outside of braces, since they change the model for all images. Take them out.";
    throw new InvalidRequest("prompt", prompt, rule);
  }
  const { text, loras } = takeLoras(prompt);
  const known = model.info.loras.map(({ name }) => name);
  const unknown = loras.find(({ name }) => !known.includes(name));
  if (unknown) {
    const rule = unknownLora(unknown.name, known, `the model "${model.info.id}"`);
    throw new InvalidRequest("prompt", unknown.name, rule);
  }
  return { prompt: text, lora: [...lora, ...loras] satisfies Lora };
}

/** The texts of each image of a request with dynamic prompts; undefined for any other. */
export function imageTexts(
  { prompt, negativePrompt, dynamicPrompts, promptSyntax }: Given,
  { seed, count, wildcards }: { seed: string; count: number; wildcards: Wildcards | undefined },
): ImageTexts[] | undefined {
  if (!dynamicPrompts) return undefined;
  const texts = { prompt, ...(negativePrompt !== undefined && { negativePrompt }) };
  const all = Array.from({ length: count }, (_, i) =>
    expandTexts(texts, seedAfter(BigInt(seed), i), wildcards),
  );
  if (promptSyntax === "a1111" && all.some((one) => takeLoras(one.prompt).loras.length > 0)) {
    const rule =
      "must take no LoRAs from wildcards, since they change the model for all images. Name them in the prompt.";
    throw new InvalidRequest("prompt", prompt, rule);
  }
  return all;
}
