/**
 * @file Writes a convolution with a kernel of eight bits a number, as a product over its windows (im2col).
 *
 * Of the operators that ONNX has for it, QLinearConv needs the range of its result, which it rounds to eight bits too,
 * and ONNX Runtime's ConvInteger takes three times as long as the convolution in float32.
 */

import type { Attributes } from "../tensor/tensor.js";
import type { GraphWriter } from "./onnx.js";

/** To the end of an axis. */
const end = 2 ** 31 - 1;

/** x: [B, C, H, W], codes: [kh kw C, O], scales: [O], bias: [O] -> [B, O, H', W']; x is quantised whole, as for a product. */
export function quantizedConvolution(
  g: GraphWriter,
  [x, codes, scales, bias]: readonly string[],
  { kernel: [kh, kw], stride, padding: [top, left, bottom, right] }: Attributes["rowQuantizedConv2d"],
): string {
  const [bytes, scale, zero] = g.nodeOf(3, "DynamicQuantizeLinear", [x!]) as [string, string, string];
  const pixels = g.node("Transpose", [bytes], { perm: [0, 2, 3, 1] });
  const pads = [top, left, bottom, right];
  const padded = pads.some((d) => d > 0)
    ? g.node("Pad", [pixels, g.ints(0, top, left, 0, 0, bottom, right, 0), zero])
    : pixels;
  const shifted = (i: number, j: number) => {
    const ends = [kh - 1 - i, kw - 1 - j].map((rest) => (rest === 0 ? end : -rest));
    return g.node("Slice", [padded, g.ints(i, j), g.ints(...ends), g.ints(1, 2), g.ints(stride, stride)]);
  };
  const places = Array.from({ length: kh * kw }, (_, at) => [Math.floor(at / kw), at % kw] as const);
  const windows =
    places.length === 1 && stride === 1
      ? padded
      : g.node(
          "Concat",
          places.map(([i, j]) => shifted(i, j)),
          { axis: 3 },
        );
  const inputs = [windows, codes!, scale, scales!, zero, ...(bias === undefined ? [] : ["", bias])];
  return g.node("Transpose", [g.contrib("MatMulIntegerToFloat", inputs)], { perm: [0, 3, 1, 2] });
}
