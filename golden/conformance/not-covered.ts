/** @file Golden data that this build has no check for yet: listed by name, so that nothing is passed over in silence. */

import { type Check, type Context, failingCheck, uncovered } from "./check.js";
import { namesIn } from "./golden-file.js";

/** Of a row's "section/name", or of what lies in the folder; a line goes when its check comes. */
const reasons: readonly (readonly [RegExp, string])[] = [
  [/^prompts\/compel/, "compel's prompt grammar"],
  [/^(runs\/controlnet|stages\/controlnet-[^/]+)\//, "ControlNets"],
  [/^runs\/inpaint9\//, "inpainting U-Nets of nine channels"],
  [/^runs\/refiner\/(img2img|refine)-?/, "SDXL's refiner"],
  [/^runs\/hires\//, "the hires fix"],
];

/** Why a row has nothing to compare; undefined if it has. */
export const whyNotCovered = (name: string): string | undefined =>
  reasons.find(([pattern]) => pattern.test(name))?.[1];

/** Names in a golden folder that a section reads, or that only describe others. */
const known = [
  /^(README\.md|assemble\.mjs|random_reference\.py)$/,
  /^((floors|sensitivity)(-.+)?|half-precision)\.json$/,
  /^(random|schedulers|edm-schedulers)\.(json|safetensors)$/,
  /^tokens(-clip)?\.json$/,
  /^taesdxl\.(png|safetensors)$/,
  /^(pipelines|clip|stages|single|runs|distil|adapters|embeddings|prompts)$/,
];

/** A row for everything in the folder that no section reads. */
export async function others({ folder }: Context): Promise<Check[]> {
  const names = (await namesIn(folder)).filter((name) => !known.some((pattern) => pattern.test(name)));
  return names.map((name) => {
    const reason = whyNotCovered(`folder/${name}`);
    return reason === undefined
      ? failingCheck(name, "this tool does not know what this is")
      : uncovered(name, reason);
  });
}
