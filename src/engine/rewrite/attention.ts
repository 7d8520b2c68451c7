/**
 * @file Rewrites attention as matrix products and a softmax where the device has no fused operator for it, and cuts its
 * queries into slices where the scores would be larger than a buffer of the device.
 */

import { attentionOf } from "../../tensor/attention.js";
import { concat, part } from "../../tensor/operations.js";
import { made, type Tensor } from "../../tensor/tensor.js";
import type { Device } from "../device.js";
import { type Graph, rewriteGraph } from "./graph.js";

/** The same results, with attention only where the device computes it by a fused operator. */
export const composeAttention = <G extends Graph>(outputs: G, device: Device): G =>
  rewriteGraph(outputs, (x) => {
    if (!made("attention", x) || isFused(x, device)) return x;
    const [q, k, v] = x.inputs as [Tensor, Tensor, Tensor];
    const slices = x.attrs.causal ? 1 : sliceCount(q, k, x.attrs.heads, device);
    if (slices === 1) return attentionOf(q, k, v, x.attrs);
    // Each query's weights depend on no other query, so this is exact.
    const parts = Array.from({ length: slices }, (_, i) => attentionOf(part(q, 1, i, slices), k, v, x.attrs));
    return concat(parts, 1);
  });

/**
 * Into how many slices the queries are cut, by the sizes that the graph was traced at. At run time they are cut into as
 * many whatever their number is, so a program is only for sizes up to about those that it was traced at.
 */
function sliceCount(q: Tensor, k: Tensor, heads: number, { attentionBytes }: Device): number {
  const [B, N] = q.shape as [number, number];
  if (attentionBytes === undefined) return 1;
  return Math.min(N, Math.ceil((4 * B * heads * N * k.shape[1]!) / attentionBytes));
}

/** Causal attention, which only text encoders have, is always composed. */
const isFused = ({ attrs }: Tensor<"attention">, device: Device): boolean =>
  device.fusedAttention && !attrs.causal;
