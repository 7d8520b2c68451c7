/** @file The rewrites that a device needs: the graph that lowering writes and that the memory estimate measures. */

import type { Device } from "../device.js";
import { composeAttention } from "./attention.js";
import { channelsLast } from "./channels-last.js";
import { eliminateCommonSubexpressions } from "./common-subexpressions.js";
import type { Graph } from "./graph.js";
import { halfPrecision } from "./half-precision.js";
import { hostInputs } from "./host-inputs.js";
import { fuseLinear } from "./linear.js";

/** The same results, as the device computes them. */
export function deviceGraph<G extends Graph>(outputs: G, device: Device): G {
  const laidOut = device.channelsLast ? channelsLast(outputs) : outputs;
  const composed = composeAttention(laidOut, device);
  const layers = device.gemm ? fuseLinear(composed) : composed;
  const given = hostInputs(layers, device);
  const graph = device.dtype === "float16" ? halfPrecision(given, device.provider) : given;
  // Where ONNX Runtime's optimisers are off, they do not merge equal operations either.
  return device.weightsAsStored ? eliminateCommonSubexpressions(graph) : graph;
}
