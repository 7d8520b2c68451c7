/** @file The element types of safetensors files, and their bytes as typed arrays. Little-endian only. */
import { e4m3ToFloat32, e5m2ToFloat32 } from "./float8.js";
import { bfloat16ToFloat32, float16ToFloat32, float32ToBfloat16, float32ToFloat16 } from "./half.js";

export type StoredDtype = FloatDtype | "I64" | "I32" | "I16" | "I8" | "U8" | "BOOL";
/** Widens to float32. F8_E4M3 is PyTorch's `float8_e4m3fn`, which has no infinity; F8_E5M2 is `float8_e5m2`. */
export type FloatDtype = WritableDtype | "F8_E4M3" | "F8_E5M2";
/** What float32 numbers can be written as. */
export type WritableDtype = "F64" | "F32" | "F16" | "BF16";

/** A tensor's elements: F16, BF16 and those of eight bits as their bits, BOOL as bytes of 0 and 1. */
export type StoredArray =
  | Float64Array<ArrayBuffer>
  | Float32Array<ArrayBuffer>
  | Uint16Array<ArrayBuffer>
  | BigInt64Array<ArrayBuffer>
  | Int32Array<ArrayBuffer>
  | Int16Array<ArrayBuffer>
  | Int8Array<ArrayBuffer>
  | Uint8Array<ArrayBuffer>;

/** Bytes of one element; the order is that in which the reference implementation writes, largest first. */
export const dtypeSizes: Readonly<Record<StoredDtype, number>> = {
  I64: 8,
  F64: 8,
  F32: 4,
  I32: 4,
  BF16: 2,
  F16: 2,
  I16: 2,
  F8_E4M3: 1,
  F8_E5M2: 1,
  I8: 1,
  U8: 1,
  BOOL: 1,
};

/** Whether `name` is a dtype this project reads. */
export function isStoredDtype(name: unknown): name is StoredDtype {
  return typeof name === "string" && Object.hasOwn(dtypeSizes, name);
}

/** Whether tensors of this dtype widen to float32. */
export function isFloatDtype(dtype: StoredDtype): dtype is FloatDtype {
  return Object.hasOwn(toFloats, dtype);
}

/** A tensor's bytes as the typed array of its dtype; copies only where the bytes are not aligned to it. */
export function viewStored(bytes: Uint8Array<ArrayBuffer>, dtype: StoredDtype): StoredArray {
  const size = dtypeSizes[dtype];
  const aligned = bytes.byteOffset % size === 0 ? bytes : bytes.slice();
  const { buffer, byteOffset } = aligned;
  const n = aligned.byteLength / size;
  switch (dtype) {
    case "F64":
      return new Float64Array(buffer, byteOffset, n);
    case "F32":
      return new Float32Array(buffer, byteOffset, n);
    case "F16":
    case "BF16":
      return new Uint16Array(buffer, byteOffset, n);
    case "I64":
      return new BigInt64Array(buffer, byteOffset, n);
    case "I32":
      return new Int32Array(buffer, byteOffset, n);
    case "I16":
      return new Int16Array(buffer, byteOffset, n);
    case "I8":
      return new Int8Array(buffer, byteOffset, n);
    case "U8":
    case "BOOL":
    case "F8_E4M3":
    case "F8_E5M2":
      return new Uint8Array(buffer, byteOffset, n);
    default:
      return dtype satisfies never;
  }
}

const toFloats: Readonly<Record<FloatDtype, (values: StoredArray) => Float32Array>> = {
  F64: (values) => Float32Array.from(values as Float64Array),
  F32: (values) => values as Float32Array,
  F16: (values) => float16ToFloat32(values as Uint16Array),
  BF16: (values) => bfloat16ToFloat32(values as Uint16Array),
  F8_E4M3: (values) => e4m3ToFloat32(values as Uint8Array),
  F8_E5M2: (values) => e5m2ToFloat32(values as Uint8Array),
};

/** A float tensor's bytes as float32, widened or (F64) rounded; F32 bytes are viewed, not copied. */
export const toFloat32 = (bytes: Uint8Array<ArrayBuffer>, dtype: FloatDtype): Float32Array =>
  toFloats[dtype](viewStored(bytes, dtype));

/** A float tensor's bytes widened to float32, as bytes; F32 bytes are viewed, not copied. */
export function widenedBytes(bytes: Uint8Array<ArrayBuffer>, dtype: FloatDtype): Uint8Array<ArrayBuffer> {
  const { buffer, byteOffset, byteLength } = toFloat32(bytes, dtype);
  return new Uint8Array(buffer as ArrayBuffer, byteOffset, byteLength);
}

/** float32 values in the given dtype's array, for writing; rounds to nearest even. F32 is passed through. */
export function fromFloat32(
  values: Float32Array,
  dtype: WritableDtype,
): Float32Array | Float64Array | Uint16Array {
  if (dtype === "F16") return float32ToFloat16(values);
  if (dtype === "BF16") return float32ToBfloat16(values);
  return dtype === "F32" ? values : Float64Array.from(values);
}
