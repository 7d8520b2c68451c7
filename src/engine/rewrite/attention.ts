/** @file Rewrites attention as matrix products and a softmax where the device has no fused operator for it. */

import { attentionOf } from "../../tensor/attention.js";
import { made, type Tensor } from "../../tensor/tensor.js";
import type { Device } from "../device.js";
import { type Graph, rewriteGraph } from "./graph.js";

/** The same results, with attention only where the device computes it by a fused operator. */
export const composeAttention = <G extends Graph>(outputs: G, device: Device): G =>
  rewriteGraph(outputs, (x) => {
    const [q, k, v] = x.inputs as [Tensor, Tensor, Tensor];
    return made("attention", x) && !isFused(x, device) ? attentionOf(q, k, v, x.attrs) : x;
  });

/** Causal attention, which only text encoders have, is always composed. */
const isFused = ({ attrs }: Tensor<"attention">, device: Device): boolean =>
  device.fusedAttention && !attrs.causal;
