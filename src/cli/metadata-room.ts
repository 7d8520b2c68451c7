/** @file Whether the files of a command have room for the metadata of their images. */

import { InvalidRequest } from "../errors.js";
import { formatOf } from "../image/codec.js";
import { metadataProblem } from "../pipeline/metadata/capacity.js";
import type { GenerateRequest } from "../pipeline/request.js";

/** Checks, before anything is generated, that the file has room for the metadata. */
export function checkRoom(
  file: string,
  prompts: readonly string[],
  request: Omit<GenerateRequest, "prompt">,
): void {
  const one = (texts: string | readonly string[] | undefined) =>
    typeof texts === "string" ? texts : undefined;
  const prompt2 = one(request.prompt2);
  const negativePrompt = one(request.negativePrompt);
  const negativePrompt2 = one(request.negativePrompt2);
  for (const prompt of prompts) {
    const problem = metadataProblem(formatOf(file), { prompt, prompt2, negativePrompt, negativePrompt2 });
    if (problem === undefined) continue;
    const remedy = "Shorten the prompts, name a .png file, or add --no-metadata.";
    throw new InvalidRequest("--output", file, `the metadata of ${file} ${problem} ${remedy}`);
  }
}
