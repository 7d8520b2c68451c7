/** @file What it means to run a program, whoever does it: Node's worker thread, this thread, or a browser. */

import type { Shape } from "../tensor/tensor.js";
import type { Device } from "./device.js";
import type { Program } from "./lower.js";

/** Numbers with their shape, row by row. */
export type Values = { readonly data: Float32Array | BigInt64Array; readonly shape: Shape };

/** A loaded program. */
export interface Session {
  /** Computes all results. Float32 inputs and outputs by name; throws an EngineError. */
  run(inputs: Readonly<Record<string, Values>>): Promise<Record<string, Values>>;
  /** Frees its memory; the session must not be used afterwards. */
  release(): Promise<void>;
}

/** Loads programs. */
export interface Engine {
  readonly device: Device;
  load(program: Program): Promise<Session>;
  close(): Promise<void>;
}

export const floats = (data: Float32Array, ...shape: number[]): Values => ({ data, shape });
export const longs = (data: Iterable<number>, ...shape: number[]): Values => ({
  data: BigInt64Array.from(data, BigInt),
  shape,
});

/** The float32 numbers of a result. */
export function floatsOf(values: Values | undefined): Float32Array {
  if (!(values?.data instanceof Float32Array))
    throw new Error("internal: this result has no float32 numbers");
  return values.data;
}
