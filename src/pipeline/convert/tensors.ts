/**
 * @file The tensors of a model as they are written: each is read, changed by LoRAs, and rounded when its turn comes, so
 * that one is in memory at a time. None that is not finite is written.
 */

import type { Engine } from "../../engine/engine.js";
import { ModelError } from "../../errors.js";
import { manifest, type Params } from "../../tensor/params.js";
import { fromFloat32, isFloatDtype, type StoredDtype, type WritableDtype } from "../../weights/dtype.js";
import {
  readBytes,
  readFloat32,
  type TensorSource,
  type WeightEntry,
} from "../../weights/safetensors-file.js";
import type { Component } from "../component.js";
import { changedWeights } from "../weight-changes.js";

/** A tensor to be written, with its numbers when they are wanted. */
export type OutgoingTensor = {
  dtype: WritableDtype;
  shape: readonly number[];
  read: () => Promise<Uint8Array>;
};

/** A network with what it is written from, by Diffusers' names. */
export type OutgoingNetwork = { name: string; tensors: ReadonlyMap<string, OutgoingTensor> };

/** The dtype that a stored tensor is written in; eight-bit weights, whose factors no Diffusers model has, as float16. */
function written(stored: StoredDtype, wanted: WritableDtype | undefined): WritableDtype {
  if (wanted !== undefined) return wanted;
  return stored === "F8_E4M3" || stored === "F8_E5M2" || !isFloatDtype(stored) ? "F16" : stored;
}

/** All weights that a component's network has, by Diffusers' names. ModelError where one is missing. */
export function outgoing(
  component: Component,
  trace: (p: Params) => unknown,
  { dtype, engine }: { dtype: WritableDtype | undefined; engine: Engine },
): Map<string, OutgoingTensor> {
  const { weights, changes, file } = component;
  const tensors = new Map<string, OutgoingTensor>();
  for (const [name, shape] of manifest(trace)) {
    const entry = weights.tensors.get(name)!;
    const to = written(entry.dtype, dtype);
    const read = async () => {
      if (!changes.has(name) && entry.dtype === to && !entry.scale)
        return finite(file, name, to, await readBytes(entry));
      const changed = changes.has(name)
        ? await withChanges(component, name, entry, engine)
        : await readFloat32(name, entry);
      return finite(file, name, to, bytesOf(fromFloat32(changed, to)));
    };
    tensors.set(name, { dtype: to, shape, read });
  }
  return tensors;
}

async function withChanges(
  { changes, weights }: Component,
  name: string,
  entry: WeightEntry,
  engine: Engine,
): Promise<Float32Array> {
  const one = { ...weights, tensors: new Map([[name, entry]]) };
  const { data } = (await changedWeights(one, changes, engine)).get(name)!;
  return new Float32Array(data.buffer, data.byteOffset, data.byteLength / 4);
}

const bytesOf = ({ buffer, byteOffset, byteLength }: ArrayBufferView) =>
  new Uint8Array(buffer, byteOffset, byteLength);

/** Bits of the exponent, all of which are set in NaN and infinity alone. */
const exponents: Readonly<Record<WritableDtype, number>> = {
  F64: 0,
  F32: 0x7f800000,
  F16: 0x7c00,
  BF16: 0x7f80,
};

/** The bytes, if they hold finite numbers. ModelError names the tensor. */
function finite(file: string, name: string, dtype: WritableDtype, bytes: Uint8Array): Uint8Array {
  const mask = exponents[dtype];
  const aligned = bytes.byteOffset % 4 === 0 ? bytes : bytes.slice();
  const { buffer, byteOffset, byteLength } = aligned;
  const values =
    dtype === "F32"
      ? new Uint32Array(buffer, byteOffset, byteLength / 4)
      : dtype === "F64"
        ? []
        : new Uint16Array(buffer, byteOffset, byteLength / 2);
  for (const bits of values) {
    if ((bits & mask) !== mask) continue;
    const rule = `${name}: must hold finite numbers that ${dtype} can hold, got NaN or infinity`;
    throw new ModelError(
      file,
      `${rule}. Use another file, or --dtype bfloat16 or float32 if it is too small.`,
    );
  }
  return bytes;
}

/** As the writer of files takes it; `onRead` is called before each tensor is read. */
export const tensorSource = (
  { dtype, shape, read }: OutgoingTensor,
  onRead: (bytes: number) => void,
): TensorSource => ({
  dtype,
  shape,
  data: async () => {
    const bytes = await read();
    onRead(bytes.length);
    return bytes;
  },
});
