/** @file Many tensors in one array: where each lies, and views of it. What the optimizer updates is the array. */

import type { Values } from "../engine/engine.js";
import { count, type Shape } from "../tensor/tensor.js";

export type Place = { readonly offset: number; readonly length: number; readonly shape: Shape };

/** Where each tensor lies in an array of `total` numbers, in the order given. */
export class ParameterBuffer {
  readonly places: ReadonlyMap<string, Place>;
  readonly total: number;

  constructor(shapes: Iterable<readonly [path: string, shape: Shape]>) {
    const places = new Map<string, Place>();
    let offset = 0;
    for (const [path, shape] of shapes) {
      places.set(path, { offset, length: count(shape), shape });
      offset += count(shape);
    }
    this.places = places;
    this.total = offset;
  }

  /** The part of `flat` that is this tensor, sharing its memory. */
  view(flat: Float32Array, path: string): Float32Array {
    const place = this.places.get(path);
    if (!place) throw new Error(`internal: no tensor ${path} in this layout`);
    return flat.subarray(place.offset, place.offset + place.length);
  }

  /** All tensors of `flat` as inputs or outputs of a program, under `prefix` and their paths. */
  values(flat: Float32Array, prefix = ""): Record<string, Values> {
    return Object.fromEntries(
      [...this.places].map(([path, { shape }]) => [prefix + path, { data: this.view(flat, path), shape }]),
    );
  }

  /** All tensors of `flat` by path, sharing its memory. */
  tensors(flat: Float32Array): Map<string, { shape: Shape; data: Float32Array }> {
    return new Map(
      [...this.places].map(([path, { shape }]) => [path, { shape, data: this.view(flat, path) }]),
    );
  }
}
