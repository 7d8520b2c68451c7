/** @file All parameters of a network in one array, which the optimizer updates: each tensor's slice, and views of it. */

import type { Values } from "../engine/engine.js";
import { count, type Shape } from "../tensor/tensor.js";

export type TensorSlice = { readonly offset: number; readonly length: number; readonly shape: Shape };

/** The slice of each tensor in an array of `total` numbers, in the order given. */
export class ParameterBuffer {
  readonly slices: ReadonlyMap<string, TensorSlice>;
  readonly total: number;

  constructor(shapes: Iterable<readonly [path: string, shape: Shape]>) {
    const slices = new Map<string, TensorSlice>();
    let offset = 0;
    for (const [path, shape] of shapes) {
      slices.set(path, { offset, length: count(shape), shape });
      offset += count(shape);
    }
    this.slices = slices;
    this.total = offset;
  }

  /** The part of `parameters` that is this tensor, sharing its memory. */
  view(parameters: Float32Array, path: string): Float32Array {
    const slice = this.slices.get(path);
    if (!slice) throw new Error(`internal: no tensor ${path} in this layout`);
    return parameters.subarray(slice.offset, slice.offset + slice.length);
  }

  /** All tensors of `parameters` as inputs or outputs of a program, under `prefix` and their paths. */
  values(parameters: Float32Array, prefix = ""): Record<string, Values> {
    return Object.fromEntries(
      [...this.slices].map(([path, { shape }]) => [
        prefix + path,
        { data: this.view(parameters, path), shape },
      ]),
    );
  }

  /** All tensors of `parameters` by path, sharing its memory. */
  tensors(parameters: Float32Array): Map<string, { shape: Shape; data: Float32Array }> {
    return new Map(
      [...this.slices].map(([path, { shape }]) => [path, { shape, data: this.view(parameters, path) }]),
    );
  }
}
