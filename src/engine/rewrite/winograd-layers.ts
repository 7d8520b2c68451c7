/**
 * @file Rewrites wide 3x3 convolutions with a stored kernel to Winograd's, which on a CPU takes a half to two thirds of
 * the time (bench/convolutions.ts) and holds the kernel in four times its size.
 */

import { winogradConv2d } from "../../tensor/lowered-operations.js";
import { topological } from "../../tensor/order.js";
import { made, type Tensor } from "../../tensor/tensor.js";
import { type Graph, rewriteGraph } from "./graph.js";

/** Pixels each way of a tile's result: four is faster than two wherever either is faster than ONNX Runtime's Conv. */
const tile = 4;

/** Below, transforms take as long as products. */
const leastChannels = 256;

/**
 * Layers at less than half the resolution of the network's input have few tiles, and the largest kernels, whose
 * transforms would be most of the network's memory.
 */
const leastScale = 1 / 2;

/** What the tiles of one band may take, with latents of 64x64. */
const bandBytes = 2 ** 27;

/** The same results, but for rounding. What is chosen does not depend on the size that the graph was traced at. */
export function winogradLayers<G extends Graph>(outputs: G): G {
  const inputs = topological(Object.values(outputs)).filter((x) => made("input", x));
  const input = inputs.reduce((largest, x) => Math.max(largest, area(x)), 0);
  if (input === 0) return outputs; // reads no image
  return rewriteGraph(outputs, (x) => {
    if (!made("conv2d", x)) return x;
    const kernel = x.inputs[1]!;
    const [O, C, kh, kw] = kernel.shape as [number, number, number, number];
    const { stride, padding } = x.attrs;
    const scale = 2 ** Math.round(Math.log2(area(x) / input) / 2);
    const isWide = made("param", kernel) && Math.min(O, C) >= leastChannels && scale >= leastScale;
    if (!isWide || kh !== 3 || kw !== 3 || stride !== 1 || padding.some((d) => d > 2)) return x;
    const pixels = (64 * scale) ** 2;
    const bands = Math.ceil((4 * tilesPerPixel * pixels * Math.max(O, C)) / bandBytes);
    return winogradConv2d(x.inputs[0]!, kernel, x.inputs[2], { tile, bands, padding });
  });
}

/** Numbers in tiles for each of an image's. */
const tilesPerPixel = (tile + 2) ** 2 / tile ** 2;

/** The pixels of an image [B, C, H, W]; 0 of another tensor. */
const area = ({ shape }: Tensor): number => (shape.length === 4 ? shape[2]! * shape[3]! : 0);
