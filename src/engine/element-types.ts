/** @file The types of tensors as ONNX names and numbers them, and casts between them. */

import type { DType } from "../tensor/tensor.js";
import type { ElementType, GraphWriter } from "./onnx.js";

export const elementTypes = {
  float32: "F32",
  float16: "F16",
  uint8: "U8",
  int8: "I8",
  int64: "I64",
} as const satisfies Record<DType, ElementType>;
/** ONNX's numbers of them, for Cast. */
const castTypes: Record<DType, number> = { float32: 1, uint8: 2, int8: 3, float16: 10, int64: 7 };
export const cast = (g: GraphWriter, x: string, to: DType) => g.node("Cast", [x], { to: castTypes[to] });
