/** @file Caption dropout: which captions are dropped, and what replaces their embeddings. Independent of the encoders. */

import { ShapeError } from "../../errors.js";

/**
 * "empty-string": Diffusers' SDXL training script encodes "" in place of the caption, one draw per example.
 * "zeros": Stability's code (`ucg_rate`) puts zeros, with one draw for each of the two embeddings; zeros are
 * also what SDXL's guidance uses when there is no negative prompt.
 */
export const dropoutRules = ["zeros", "empty-string"] as const;
export type DropoutRule = (typeof dropoutRules)[number];

export type Dropped = { readonly text: boolean; readonly pooled: boolean };

/** Text embeddings of one example: `promptEmbeds` [tokens, width]; `pooled` [width] if the model has it. */
export type Embeddings = { readonly promptEmbeds: Float32Array; readonly pooled?: Float32Array };

/** Draws whether an example's caption is dropped; `random` should be seeded by (seed, epoch, key). */
export function drawDropout(rule: DropoutRule, probability: number, random: () => number): Dropped {
  const text = random() < probability;
  switch (rule) {
    case "empty-string":
      return { text, pooled: text };
    case "zeros":
      return { text, pooled: random() < probability };
    default:
      throw new Error(`internal: dropout rule ${rule satisfies never}`);
  }
}

/** The embeddings after dropout; `empty` is the encoding of "" (pooled too), used by "empty-string" alone. */
export function dropCaption(
  rule: DropoutRule,
  given: Embeddings,
  dropped: Dropped,
  empty: Embeddings,
): Embeddings {
  const substitute = (kept: Float32Array, name: keyof Embeddings): Float32Array => {
    if (rule === "zeros") return new Float32Array(kept.length);
    const encoded = empty[name];
    if (encoded?.length === kept.length) return encoded;
    const got = `the empty caption's ${name} has ${encoded?.length ?? 0} elements`;
    throw new ShapeError("caption dropout", `${got}, the caption's ${kept.length}`);
  };
  const promptEmbeds = dropped.text ? substitute(given.promptEmbeds, "promptEmbeds") : given.promptEmbeds;
  if (!given.pooled) return { promptEmbeds };
  return { promptEmbeds, pooled: dropped.pooled ? substitute(given.pooled, "pooled") : given.pooled };
}
