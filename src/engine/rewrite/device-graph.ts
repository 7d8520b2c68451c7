/** @file The rewrites that a device needs: the graph that lowering writes and that the memory estimate measures. */

import type { Device } from "../device.js";
import { composeAttention } from "./attention.js";
import { channelsLast } from "./channels-last.js";
import { eliminateCommonSubexpressions } from "./common-subexpressions.js";
import type { Graph } from "./graph.js";
import { halfPrecision } from "./half-precision.js";
import { hostInputs } from "./host-inputs.js";
import { fuseLinear } from "./linear.js";
import { quantizableWeights, quantizeLayers } from "./quantized-layers.js";
import { winogradLayers } from "./winograd-layers.js";

/**
 * The same results, as the device computes them. `isQuantized` says which weights it holds in eight bits; if left out,
 * those that can be, where it is a device of quantised weights.
 */
export function deviceGraph<G extends Graph>(
  outputs: G,
  device: Device,
  isQuantized: (path: string) => boolean = quantizes(outputs, device),
): G {
  const { weights } = device;
  const quantized = weights === "stored" ? outputs : quantizeLayers(outputs, weights, isQuantized);
  const convolved = device.winograd ? winogradLayers(quantized) : quantized;
  const laidOut = device.channelsLast ? channelsLast(convolved) : convolved;
  const composed = composeAttention(laidOut, device);
  const layers = device.gemm ? fuseLinear(composed) : composed;
  const given = hostInputs(layers, device);
  const graph = device.dtype === "float16" ? halfPrecision(given, device.provider) : given;
  // Where ONNX Runtime's optimisers are off, they do not merge equal operations either.
  return device.weightsAsStored ? eliminateCommonSubexpressions(graph) : graph;
}

function quantizes(outputs: Graph, { weights }: Device): (path: string) => boolean {
  if (weights === "stored") return () => false;
  const paths = quantizableWeights(outputs, weights);
  return (path) => paths.has(path);
}
