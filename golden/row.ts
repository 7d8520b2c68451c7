/** @file What a section of the conformance tool hands over: rows that compute first and open their golden data after. */

import type { Engine } from "../src/engine/engine.js";

/** A tensor; 64-bit integers may come as BigInt64Array or as plain numbers. */
export type Numbers = { readonly data: ArrayLike<number> | BigInt64Array; readonly shape: readonly number[] };

/** What this build computed, by name, in the order of computing. An Error is a refusal, a text a decision. */
export type Computed = ReadonlyMap<string, Numbers | string | Error>;

/** How near is near enough; `tolerances.ts` has the figures. */
export type Bound =
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

export type Wanted = {
  readonly bound: Bound;
  readonly numbers?: Numbers;
  /** For `equal`, in place of numbers. */
  readonly text?: string;
  /** Places that are not compared, because Diffusers itself gives NaN or rounding noise there; the report counts them. */
  readonly skip?: ReadonlySet<number>;
};
export type Golden = ReadonlyMap<string, Wanted>;

/** One line of the report. `expected` is called only when `compute` is done. */
export type Row = {
  readonly name: string;
  compute(): Promise<Computed>;
  expected(): Promise<Golden>;
};

export type Context = {
  /** The golden folder. */
  readonly folder: string;
  readonly engine: Engine;
  /** Threads of one operation in programs that need an engine of their own; default 1. */
  readonly threads?: number;
};

/** Lists what there is to compare, without computing anything. */
export type Section = (context: Context) => Promise<Row[]>;

/** The rows that `find` lists, or one that fails with the reason why it cannot. */
export async function orFailing<R>(name: string, find: () => Promise<R[]>): Promise<(R | Row)[]> {
  try {
    return await find();
  } catch (error) {
    return [failing(name, (error as Error).message)];
  }
}

/** A row that fails, saying why. */
export function failing(name: string, problem: string): Row {
  const fail = () => Promise.reject(new Error(problem));
  return { name, compute: fail, expected: fail };
}

export const list = (data: Numbers["data"], ...shape: number[]): Numbers => ({
  data,
  shape: shape.length > 0 ? shape : [data.length],
});
