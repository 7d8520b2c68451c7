/**
 * @file Attention and its gradient composed of other operations. Forward and backward pass are made of the same nodes,
 * which ONNX Runtime merges, so one program computes the attention weights once.
 *
 * q: [B, N, D], k, v: [B, M, D], in heads of D / heads each.
 */

import { add, constant, keep, matmul, mul, reshape, softmax, sub, sum, transpose } from "./operations.js";
import type { Attributes, Tensor } from "./tensor.js";

type Options = Attributes["attention"];

/** softmax(q kᵀ scale) v -> [B, N, D] */
export function attentionOf(q: Tensor, k: Tensor, v: Tensor, options: Options): Tensor {
  const { weights } = attentionWeights(q, k, options);
  return joinHeads(matmul(weights, splitHeads(v, options)));
}

/** The gradients in q, k and v; g and y: [B, N, D] */
export function attentionGradient(
  g: Tensor,
  y: Tensor,
  [q, k, v]: readonly [Tensor, Tensor, Tensor],
  options: Options,
): [Tensor, Tensor, Tensor] {
  const split = (x: Tensor) => splitHeads(x, options);
  const { scaled, weights } = attentionWeights(q, k, options);
  const dy = split(g);
  // sum_m(weights dweights) equals sum_d(dy y), a sum over one head's width instead of all keys (Dao et al. 2022, B.2).
  const along = sum(mul(dy, split(y)), [3]);
  const dscores = mul(weights, sub(matmul(dy, split(v), { transposeB: true }), along));
  return [
    joinHeads(mul(matmul(dscores, split(k)), options.scale)),
    joinHeads(matmul(dscores, scaled, { transposeA: true })),
    joinHeads(matmul(weights, dy, { transposeA: true })),
  ];
}

/** scaled: q scale in heads; weights: [B, heads, N, M] */
export function attentionWeights(
  q: Tensor,
  k: Tensor,
  options: Options,
): { scaled: Tensor; weights: Tensor } {
  const scaled = mul(splitHeads(q, options), options.scale);
  const scores = matmul(scaled, splitHeads(k, options, [0, 2, 3, 1]));
  const masked = options.causal ? add(scores, causalMask(q.shape[1]!)) : scores;
  return { scaled, weights: softmax(masked) };
}

/** [B, N, D] -> [B, heads, N, D / heads], or its axes in another order */
const splitHeads = (x: Tensor, { heads }: Options, perm: readonly number[] = [0, 2, 1, 3]): Tensor =>
  transpose(reshape(x, [keep, keep, heads, x.shape[2]! / heads]), perm);

/** [B, heads, N, D / heads] -> [B, N, D] */
const joinHeads = (x: Tensor): Tensor =>
  reshape(transpose(x, [0, 2, 1, 3]), [keep, keep, x.shape[1]! * x.shape[3]!]);

/** Zero on and below the diagonal, and so low above it that nothing is left after a softmax: [n, n] */
const causalMask = (n: number): Tensor =>
  constant(
    Float32Array.from({ length: n * n }, (_, i) => (i % n > Math.floor(i / n) ? -3.4e38 : 0)),
    [n, n],
  );
