/**
 * @file Writes a weight into a program: where its bytes are, and what makes of them the tensor that the network sees, which
 * ONNX Runtime folds when it loads the program.
 */

import { count, type DType, type Tensor } from "../tensor/tensor.js";
import { type FloatDtype, widenedBytes } from "../weights/dtype.js";
import type { Device } from "./device.js";
import { cast, elementTypes } from "./element-types.js";
import type { ElementType, External, GraphWriter } from "./onnx.js";
import type { StoredWeight, WidenedWeight } from "./program.js";

/** What receives where a program's weights are. */
export type WeightSinks = {
  /** The locations of the files that weights are in. */
  files: Set<string>;
  /** The bytes of weights that are in memory. */
  memory: Map<string, Uint8Array<ArrayBuffer>>;
  /** The weights that the engine widens. */
  widened: Map<string, WidenedWeight>;
};

type Context = WeightSinks & { g: GraphWriter; device: Device };

/** The weight at `path` as the tensor `t`. */
export function weightValue(c: Context, path: string, stored: StoredWeight, t: Tensor): string {
  const { dtype, at } = placeOf(c, path, stored);
  const dims = stored.transposed ? [...t.shape].reverse() : t.shape;
  return asSeen(c.g, c.g.weight(path, dtype, dims, at), t.dtype, { ...stored, dtype });
}

/** Where ONNX Runtime finds a weight, and its type there. */
function placeOf(
  { device, files, memory, widened }: Context,
  path: string,
  stored: StoredWeight,
): { dtype: ElementType; at: External } {
  const { dtype } = stored;
  const widens = device.widenedAsRead.includes(dtype);
  const own = (length: number) => ({ location: path, offset: 0, length });
  if ("data" in stored) {
    const data = widens ? widenedBytes(stored.data, dtype as FloatDtype) : stored.data;
    memory.set(path, data);
    return { dtype: widens ? "F32" : dtype, at: own(data.byteLength) };
  }
  const { location, offset, length } = stored;
  if (widens) {
    widened.set(path, { location, offset, length, dtype: dtype as FloatDtype });
    return { dtype: "F32", at: own(4 * count(stored.shape)) };
  }
  files.add(location);
  return { dtype, at: { location, offset, length } };
}

/** A weight as the network sees it, from what is stored. */
function asSeen(g: GraphWriter, weight: string, to: DType, stored: StoredWeight): string {
  const { dtype, shape, transposed, scale } = stored;
  const inType = (x: string, from: ElementType, type: DType) =>
    from === elementTypes[type] ? x : cast(g, x, type);
  // A scale takes float8 to numbers of any size, so it is applied in float32.
  const x = inType(weight, dtype, scale ? "float32" : to);
  const laid = transposed ? g.node("Transpose", [x], { perm: [1, 0] }) : x;
  if (scale === undefined) return laid;
  const perRow = scale.length === 1 ? [] : shape.map((_, axis) => (axis === 0 ? scale.length : 1));
  return inType(g.node("Mul", [laid, g.constant(scale, perRow)]), "F32", to);
}
