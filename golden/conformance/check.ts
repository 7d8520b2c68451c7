/** @file The types of the conformance tool: a section lists checks, each computes first and opens its golden data after. */

import type { Engine } from "../../src/engine/engine.js";
import type { BlockingEngine } from "../../src/engine/ort/blocking-engine.js";
import type { SingleFiles } from "../single/files.js";
import type { GoldenLayers } from "./layers.js";

/** A tensor; 64-bit integers may come as BigInt64Array or as plain numbers. */
export type TensorData = {
  readonly data: ArrayLike<number> | BigInt64Array;
  readonly shape: readonly number[];
};

/** What this build computed, by name, in the order of computing. An Error is a refusal; a text is compared as it is. */
export type Computed = ReadonlyMap<string, TensorData | string | Error>;

/** A measure of distance and its limit; `tolerances.ts` has the figures. */
export type Tolerance =
  | { readonly kind: "equal" }
  /** max abs difference / max abs golden */
  | { readonly kind: "relative"; readonly most: number }
  /** abs difference / abs golden, of every number by itself */
  | { readonly kind: "each"; readonly most: number }
  /** max abs difference */
  | { readonly kind: "absolute"; readonly most: number }
  /** length of the difference / length of the golden, as one vector */
  | { readonly kind: "vector"; readonly most: number }
  /** abs difference of this share of the numbers, and of the worst of them */
  | { readonly kind: "quantile"; readonly share: number; readonly most: number; readonly worst: number }
  /** decibels, of values in 0..1 */
  | { readonly kind: "psnr"; readonly least: number }
  /** 8-bit values: at most 1 apart, in under this share of them */
  | { readonly kind: "levels"; readonly share: number }
  /** Diffusers refuses, or gives NaN: there are no numbers to compare. */
  | { readonly kind: "refused" }
  | { readonly kind: "notFinite" };

export type Expectation = {
  readonly tolerance: Tolerance;
  readonly numbers?: TensorData;
  /** For `equal`, in place of numbers. */
  readonly text?: string;
  /** Indices that are not compared, because Diffusers itself gives NaN or rounding noise there; the report counts them. */
  readonly skip?: ReadonlySet<number>;
};
export type Expectations = ReadonlyMap<string, Expectation>;

/** One line of the report. `expected` is called only when `compute` is done. */
export type Check = {
  readonly name: string;
  compute(): Promise<Computed>;
  expected(): Promise<Expectations>;
  /** Why this build has nothing to compare with it; the two functions are not called then. */
  readonly notCovered?: string;
};

export type Context = {
  /** The golden folder. */
  readonly folder: string;
  /** That folder, and the ones it lies over: where pipelines and other inputs are looked for. */
  readonly layers: GoldenLayers;
  /** The single files of those folders. */
  readonly single: SingleFiles;
  readonly engine: Engine;
  /** The same device in the calling thread, which training programs need; opened once. */
  readonly openBlocking: () => Promise<BlockingEngine>;
};

/** Lists what there is to compare, without computing anything. */
export type Section = (context: Context) => Promise<Check[]>;

/** The checks that `find` lists, or one that fails with the error of `find`. */
export async function orFailingCheck<R>(name: string, find: () => Promise<R[]>): Promise<(R | Check)[]> {
  try {
    return await find();
  } catch (error) {
    return [failingCheck(name, (error as Error).message)];
  }
}

/** A check that fails with this reason. */
export function failingCheck(name: string, reason: string): Check {
  const fail = () => Promise.reject(new Error(reason));
  return { name, compute: fail, expected: fail };
}

/** A row that says what this build has no check for, and why. */
export const uncovered = (name: string, reason: string): Check => ({
  ...failingCheck(name, reason),
  notCovered: reason,
});

export const tensorData = (data: TensorData["data"], ...shape: number[]): TensorData => ({
  data,
  shape: shape.length > 0 ? shape : [data.length],
});
