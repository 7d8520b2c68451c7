/**
 * @file The U-Net traced with its attention to text as further results: a side branch from each `attn2` layer, so the
 * prediction itself is computed as without it. B rows, N places, M tokens of text, D width.
 */

import { attentionWeights } from "../tensor/attention.js";
import { gather, input, matmul } from "../tensor/operations.js";
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

/** A result is called this and the layer's path, such as `down_blocks.1.attentions.0.transformer_blocks.0.attn2`. */
export const attentionPrefix = "attention.";

/** How many rows and tokens memory is planned for. */
export type AttentionSize = { rows: number; tokens: number };

/**
 * -> `out`, the prediction, and of each cross-attention layer softmax(q kᵀ) over all tokens, of the chosen rows and tokens
 * alone: [rows, heads, tokens, N]
 */
export function traceUnetAttention(
  p: Params,
  c: UNetConfig,
  size: Partial<UnetSize> = {},
  { rows = 1, tokens = 77 }: Partial<AttentionSize> = {},
): Record<string, Tensor> {
  const chosenRows = input(attentionInputs.rows, [{ R: rows }], "int64");
  const chosenTokens = input(attentionInputs.tokens, [{ T: tokens }, { tokens: size.tokens ?? 77 }]);
  const weights: Record<string, Tensor> = {};
  const watched = p.watched((path, x) => {
    if (!path.endsWith(".attn2")) return;
    const { inputs, attrs } = attentionOf(x);
    const [q, k] = inputs.slice(0, 2).map((of) => gather(of, chosenRows)) as [Tensor, Tensor];
    const all = attentionWeights(q, k, attrs).weights; // [R, heads, N, M]
    weights[`${attentionPrefix}${path}`] = matmul(chosenTokens, all, { transposeB: true });
  });
  return { out: traceUnet(watched, c, size), ...weights };
}

/** The attention that a layer's result was projected from. */
function attentionOf(x: Tensor): Tensor<"attention"> {
  let at: Tensor | undefined = x;
  while (at && !made("attention", at)) at = at.inputs[0];
  if (!at) throw new Error("internal: an attention layer without attention");
  return at;
}
