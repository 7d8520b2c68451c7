/** @file The interface of engines, which load and run programs: in the calling thread or in a worker thread. */

import type { Device } from "./device.js";
import type { EngineNotice } from "./notices.js";
import type { Program, Values } from "./program.js";

export type { Values } from "./program.js";

/** A loaded program. */
export interface Session {
  /** Computes all results from the inputs, both by name; throws an EngineError. */
  run(inputs: Readonly<Record<string, Values>>): Promise<Record<string, Values>>;
  /** Whether its device was lost since it was loaded; it must then be loaded again. */
  readonly lost?: boolean;
  /** Frees its memory; it must not be used afterwards. */
  release(): Promise<void>;
}

/** Loads programs. */
export interface Engine {
  readonly device: Device;
  /** `onNotice` is called with what happens in the first run, besides its results. */
  load(program: Program, options?: { onNotice?: (notice: EngineNotice) => void }): Promise<Session>;
  close(): Promise<void>;
}

export const floats = (data: Float32Array, ...shape: number[]): Values => ({ data, shape });
export const longs = (data: Iterable<number>, ...shape: number[]): Values => ({
  data: BigInt64Array.from(data, BigInt),
  shape,
});

/** The elements of a float32 result. */
export function floatsOf(values: Values | undefined): Float32Array {
  if (!(values?.data instanceof Float32Array)) throw new Error("internal: this result is not float32");
  return values.data;
}
