/**
 * @file The U-Net traced with its attention to text as further results: a side branch from each `attn2` layer, so the
 * prediction itself is computed as without it. B rows, N places, M tokens of text, D width.
 */

import { attentionWeights } from "../tensor/attention.js";
import { concat, gather, input, matmul } from "../tensor/operations.js";
import type { Params } from "../tensor/params.js";
import { made, type Tensor } from "../tensor/tensor.js";
import { traceUnet, type UnetSize } from "./trace.js";
import type { UNetConfig } from "./unet-config.js";

/**
 * Inputs that the maps add: which rows of the batch, [R] int64; which tokens of the text, as a row of the identity for
 * each, [T, M] float32. A product by those takes the tokens and puts them first in one pass; `gather` would need every
 * token's weights transposed before and after it.
 */
export const attentionInputs = { rows: "attention_rows", tokens: "attention_tokens" } as const;

/** What the names of such results begin with. */
export const attentionPrefix = "attention.";

/** A layer by its path, such as `down_blocks.1.attentions.0.transformer_blocks.0.attn2`. */
type LayerHeads = { path: string; heads: number };

/** A result names the layers that it holds, in the order of their heads. */
const resultName = (layers: readonly LayerHeads[]): string =>
  attentionPrefix + layers.map(({ path, heads }) => `${path}:${heads}`).join(" ");

/** The layers that a result holds. */
export const layersOf = (name: string): LayerHeads[] =>
  name
    .slice(attentionPrefix.length)
    .split(" ")
    .map((layer) => {
      const [path, heads] = layer.split(":") as [string, string];
      return { path, heads: Number(heads) };
    });

/** How many rows and tokens memory is planned for. */
export type AttentionSize = { rows: number; tokens: number };

/**
 * -> `out`, the prediction, and of each block its cross-attention layers' softmax(q kᵀ) over all tokens, of the chosen rows
 * and tokens alone: [rows, heads of all its layers, tokens, N]. One result for each layer would take as long to hand over
 * as to compute in a small model.
 */
export function traceUnetAttention(
  p: Params,
  c: UNetConfig,
  size: Partial<UnetSize> = {},
  { rows = 1, tokens = 77 }: Partial<AttentionSize> = {},
): Record<string, Tensor> {
  const chosenRows = input(attentionInputs.rows, [{ R: rows }], "int64");
  const chosenTokens = input(attentionInputs.tokens, [{ T: tokens }, { tokens: size.tokens ?? 77 }]);
  const blocks = new Map<string, (LayerHeads & { weights: Tensor })[]>();
  const watched = p.watched((path, x) => {
    if (!path.endsWith(".attn2")) return;
    const { inputs, attrs } = attentionOf(x);
    const [q, k] = inputs.slice(0, 2).map((of) => gather(of, chosenRows)) as [Tensor, Tensor];
    const all = attentionWeights(q, k, attrs).weights; // [R, heads, N, M]
    const weights = matmul(chosenTokens, all, { transposeB: true });
    const block = /^(mid_block|\w+\.\d+)/.exec(path)![0];
    blocks.set(block, [...(blocks.get(block) ?? []), { path, heads: attrs.heads, weights }]);
  });
  const out = traceUnet(watched, c, size);
  const joined = [...blocks.values()].map((layers) => {
    const parts = layers.map(({ weights }) => weights);
    return [resultName(layers), parts.length === 1 ? parts[0]! : concat(parts, 1)] as const;
  });
  return { out, ...Object.fromEntries(joined) };
}

/** The attention that a layer's result was projected from. */
function attentionOf(x: Tensor): Tensor<"attention"> {
  let at: Tensor | undefined = x;
  while (at && !made("attention", at)) at = at.inputs[0];
  if (!at) throw new Error("internal: an attention layer without attention");
  return at;
}
