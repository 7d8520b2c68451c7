/** @file The check that a network's results are finite, and what to do where they are not: NaN makes black images. */

import type { Precision } from "../engine/device.js";
import type { Values } from "../engine/engine.js";
import { EngineError, NotFinite } from "../errors.js";
import { finiteProblem } from "../image/pixels.js";
import { readFloats, type WeightSet } from "../weights/component.js";

/** What is asked about results: the component, the file that errors name, and its weights. */
type Owner = { name: string; file: string; weights: WeightSet; dtype: Precision };

/**
 * Throws an EngineError that names the component, what it computed (`stage`), and the cause: a weight that is not
 * finite, or numbers that grew too large on the way.
 */
export async function checkFinite(
  owner: Owner,
  results: Readonly<Record<string, Values>>,
  stage: string,
): Promise<void> {
  for (const { data } of Object.values(results)) {
    if (!(data instanceof Float32Array)) continue;
    const problem = finiteProblem(data);
    if (problem === undefined) continue;
    throw new EngineError(owner.name, new NotFinite(`${stage} ${problem}. ${await cause(owner)}`));
  }
}

/** Reads all weights, which takes seconds, but only once something went wrong. */
async function cause({ name, file, weights, dtype }: Owner): Promise<string> {
  for (const weight of weights.tensors.keys()) {
    if (finiteProblem(await readFloats(weights, weight)) !== undefined)
      return `${file} holds NaN or infinity itself, in ${weight}. Use another file.`;
  }
  if (dtype === "float16") {
    const other = name === "vae" ? " or an autoencoder that was made for float16" : "";
    return `Its weights are finite, so numbers grew beyond float16. Use float32${other} (dtype, --dtype).`;
  }
  const own = name === "unet" ? "a guidance or LoRA scale far too high" : "a LoRA scale far too high";
  return `Its weights are finite. Likely causes: ${own}; weights that do not fit their config.json.`;
}
