/** @file Programs, which lowering writes and engines load: an ONNX model, where its weights are, what the host computes. */

import type { AxisSize, Shape } from "../tensor/tensor.js";
import type { FloatDtype } from "../weights/dtype.js";
import type { ElementType, External } from "./onnx.js";

/** A tensor's elements in row-major order, and its shape. */
export type Values = { readonly data: Float32Array | BigInt64Array; readonly shape: Shape };

/** A weight's value: where in a file ONNX Runtime reads it, or its bytes. `shape` is what the network sees. */
export type StoredWeight = {
  dtype: ElementType;
  shape: Shape;
  /** The bytes are of the matrix with rows and columns exchanged. */
  transposed?: boolean;
  /** Multiplies the stored numbers: one factor, or one for each of the first axis. */
  scale?: Float32Array;
} & (External | { data: Uint8Array<ArrayBuffer> });

/** Where a weight lies that an engine widens, and the type that it has there. */
export type WidenedWeight = External & { dtype: FloatDtype };

/** A program that an engine can load. */
export type Program = {
  readonly name: string;
  readonly model: Uint8Array;
  /** The real directory that the weights' locations are relative to. */
  readonly folder?: string;
  /** The locations of the files that weights are in. */
  readonly files?: readonly string[];
  /** Weights' bytes by location. An engine may transfer them to another thread, so such a program is loaded once. */
  readonly memory?: ReadonlyMap<string, Uint8Array<ArrayBuffer>>;
  /** Weights that the engine widens to float32 as it reads them, by location. */
  readonly widened?: ReadonlyMap<string, WidenedWeight>;
  /** Inputs that the session computes from those it is given. */
  readonly host?: readonly HostInput[];
  /** Whether weights stay in memory in the type of their file. */
  readonly weightsAsStored?: boolean;
  /** Whether weights are of a type that devices do not widen, so that it must be done when they are loaded. */
  readonly widensAtLoad?: boolean;
};

/** An input of a program that the host computes. */
export type HostInput = { readonly name: string; readonly value: HostExpression };

/** How, from the inputs that callers give. */
export type HostExpression =
  | { op: "input"; name: string }
  | { op: "constant"; value: Values }
  | { op: "reshape"; x: HostExpression; sizes: readonly AxisSize[] }
  | { op: "mul"; a: HostExpression; b: HostExpression }
  | { op: "sin" | "cos"; x: HostExpression }
  /** Rows of a table of weights, or of an input of that name. */
  | { op: "rows"; table: StoredWeight | string; ids: HostExpression };
