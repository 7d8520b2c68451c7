/** @file Expands a request's dynamic prompts: each image gets texts of its own, chosen by its seed. Must not import Node. */

import { Generator } from "../diffusion/random.js";
import { InvalidRequest } from "../errors.js";
import { expandPrompt, type Wildcards } from "../text/dynamic-prompts.js";
import type { GenerateRequest } from "./request.js";

const textFields = ["prompt", "negativePrompt", "prompt2", "negativePrompt2"] as const;
type TextField = (typeof textFields)[number];

/**
 * What one image's texts become. The random numbers are those of `torch.rand` in float64 after the image's seed, drawn for
 * the fields in the order prompt, negative prompt and those of the second encoder.
 */
export function expandTexts<Texts extends { readonly [K in TextField]?: string | undefined }>(
  texts: Texts,
  seed: bigint,
  wildcards: Wildcards | undefined,
): Texts {
  const generator = new Generator(seed);
  const random = () => generator.uniform(1, "float64")[0]!;
  const expanded = textFields.flatMap((field) => {
    const text = texts[field];
    if (text === undefined) return [];
    return [[field, expandPrompt(text, { random, field, ...(wildcards && { wildcards }) })] as const];
  });
  return { ...texts, ...Object.fromEntries(expanded) };
}

/** The request with a prompt for each image; as it is unless it has `dynamicPrompts`. `seeds` are those of its images. */
export function expandRequest(
  request: GenerateRequest,
  perPrompt: number,
  seeds: () => readonly bigint[] | undefined,
): GenerateRequest {
  const { dynamicPrompts, wildcards, ...rest } = request;
  if (dynamicPrompts === undefined || dynamicPrompts === false) {
    if (wildcards === undefined) return rest;
    const rule = "belong to dynamicPrompts, which is not given. Give it, or leave them out.";
    throw new InvalidRequest("wildcards", undefined, rule);
  }
  if (dynamicPrompts !== true) {
    const rule = `must be true or false, got ${JSON.stringify(dynamicPrompts)}.`;
    throw new InvalidRequest("dynamicPrompts", dynamicPrompts, rule);
  }
  const all = seeds();
  if (!all) {
    const rule = "needs a seed for each image, got generators. Give seed instead.";
    throw new InvalidRequest("dynamicPrompts", true, rule);
  }
  const templates = all.map((_, image) => textsOf(request, Math.floor(image / perPrompt)));
  const expanded = templates.map((texts, image) => expandTexts(texts, all[image]!, wildcards));
  const column = (list: typeof templates, field: TextField) => list.map((texts) => texts[field]!);
  const fields = textFields.filter((field) => request[field] !== undefined);
  return {
    ...rest,
    ...(Object.fromEntries(fields.map((field) => [field, column(expanded, field)])) as { prompt: string[] }),
    seed: all,
    numImagesPerPrompt: 1,
    promptTemplate: column(templates, "prompt"),
    ...(request.negativePrompt !== undefined && {
      negativePromptTemplate: column(templates, "negativePrompt"),
    }),
  };
}

/** One text of a field is that of every prompt. */
function textsOf(request: GenerateRequest, prompt: number): { [K in TextField]?: string } {
  const of = (field: TextField) => {
    const value = request[field];
    if (value === undefined) return [];
    const list: readonly string[] = typeof value === "string" ? [value] : value;
    return [[field, list.length === 1 ? list[0]! : list[prompt]!] as const];
  };
  return Object.fromEntries(textFields.flatMap(of));
}
