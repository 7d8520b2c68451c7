/**
 * @file A network's weights by the paths of its checkpoint. A network gets each weight by path and shape from a source,
 * which decides what the pass is for: tracing, listing the weights, sharing them.
 */

import { ShapeError } from "../errors.js";
import { param } from "./operations.js";
import { type Shape, show, type Tensor } from "./tensor.js";

/** Gives the weight at a path. */
export type Source = (path: string, shape: Shape) => Tensor;

/** The weights below a path, such as `down_blocks.0.resnets.1`. */
export class Params {
  readonly path: string;
  readonly #source: Source;
  readonly #watch: ((path: string, x: Tensor) => void) | undefined;

  constructor(
    source: Source,
    { path = "", watch }: { path?: string; watch?: (path: string, x: Tensor) => void } = {},
  ) {
    this.path = path;
    this.#source = source;
    this.#watch = watch;
  }

  at(...names: (string | number)[]): Params {
    const path = [this.path, ...names].filter((s) => s !== "").join(".");
    return new Params(this.#source, { path, ...(this.#watch && { watch: this.#watch }) });
  }

  get(name: string, shape: Shape): Tensor {
    return this.#source(this.path ? `${this.path}.${name}` : name, shape);
  }

  /** The same weights; `watch` is called with the result of every layer. */
  watched(watch: (path: string, x: Tensor) => void): Params {
    return new Params(this.#source, { path: this.path, watch });
  }

  /** Runs a layer's body: a ShapeError inside gets this path, and `watch` is called with the result. */
  layer(body: () => Tensor): Tensor {
    try {
      const x = body();
      this.#watch?.(this.path, x);
      return x;
    } catch (error) {
      if (error instanceof ShapeError && error.path === "") throw new ShapeError(this.path, error.message);
      throw error;
    }
  }
}

/** A source that makes one `param` per path and refuses two shapes of one path. */
export function tracing(seen = new Map<string, Tensor>()): Source {
  return (path, shape) => {
    const known = seen.get(path);
    if (known && known.shape.join() !== shape.join()) {
      throw new ShapeError(path, `internal: requested as ${show(known.shape)} and as ${show(shape)}`);
    }
    const tensor = known ?? param(path, shape);
    seen.set(path, tensor);
    return tensor;
  };
}

/** Paths and shapes of all weights of a network, by tracing it: for counts, initial values and load checks. */
export function manifest(model: (p: Params) => unknown): Map<string, Shape> {
  const seen = new Map<string, Tensor>();
  model(new Params(tracing(seen)));
  return new Map([...seen].map(([path, tensor]) => [path, tensor.shape]));
}
