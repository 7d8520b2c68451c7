/** @file Named weights. A model asks for each weight by path and shape; who answers decides what the pass means. */

import { ShapeError } from "../errors.js";
import { param } from "./operations.js";
import { type Shape, show, type Tensor } from "./tensor.js";

/** Answers a request for a weight: writes it down, checks it against a checkpoint, or hands out another tensor. */
export type Source = (path: string, shape: Shape) => Tensor;

/** A place in the tree of weights, such as `down_blocks.0.resnets.1`. Paths are those of the checkpoint. */
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

  /** Runs a layer's body: an error of shapes inside names this place, and whoever watches sees the result. */
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

/** Hands out one `param` per path, and refuses a path that is asked for in two shapes. */
export function tracing(seen = new Map<string, Tensor>()): Source {
  return (path, shape) => {
    const known = seen.get(path);
    if (known && known.shape.join() !== shape.join()) {
      throw new ShapeError(path, `internal: asked for as ${show(known.shape)} and as ${show(shape)}`);
    }
    const tensor = known ?? param(path, shape);
    seen.set(path, tensor);
    return tensor;
  };
}

/** What a model asks for, without any weights: the list behind counts, initial values and load checks. */
export function manifest(model: (p: Params) => unknown): Map<string, Shape> {
  const seen = new Map<string, Tensor>();
  model(new Params(tracing(seen)));
  return new Map([...seen].map(([path, tensor]) => [path, tensor.shape]));
}
