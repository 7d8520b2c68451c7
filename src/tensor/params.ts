/**
 * @file A network's weights by the paths of its checkpoint. A network gets each weight by path and shape from a source,
 * which decides what the pass is for: tracing, listing the weights, sharing them.
 */

import { ShapeError } from "../errors.js";
import { param } from "./operations.js";
import { type Shape, show, type Tensor } from "./tensor.js";

/** Gives the weight at a path. */
export type Source = (path: string, shape: Shape) => Tensor;

/** Called with the path and the result of every layer. */
type Watch = (path: string, x: Tensor) => void;

/** Gives what takes the place of a layer's result, such as `x` itself; `layer` has the layer's path, and further weights. */
export type Adapt = (layer: Params, x: Tensor) => Tensor;

type ParamsOptions = { path?: string; watch?: Watch | undefined; adapt?: Adapt | undefined };

/** The weights below a path, such as `down_blocks.0.resnets.1`. */
export class Params {
  readonly path: string;
  readonly #source: Source;
  readonly #watch: Watch | undefined;
  readonly #adapt: Adapt | undefined;

  constructor(source: Source, { path = "", watch, adapt }: ParamsOptions = {}) {
    this.path = path;
    this.#source = source;
    this.#watch = watch;
    this.#adapt = adapt;
  }

  at(...names: (string | number)[]): Params {
    const path = [this.path, ...names].filter((s) => s !== "").join(".");
    return new Params(this.#source, { path, watch: this.#watch, adapt: this.#adapt });
  }

  /** The same weights, whose layers report to `watch`. */
  watched(watch: Watch): Params {
    return new Params(this.#source, { path: this.path, watch, adapt: this.#adapt });
  }

  get(name: string, shape: Shape): Tensor {
    return this.#source(this.path ? `${this.path}.${name}` : name, shape);
  }

  /** Runs a layer's body, whose result may be adapted: a ShapeError inside gets this path, and `watch` the result. */
  layer(body: () => Tensor): Tensor {
    try {
      const own = body();
      const x = this.#adapt ? this.#adapt(this, own) : own;
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
