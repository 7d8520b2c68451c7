/**
 * @file Conversions of the two eight-bit floats to float32, over typed arrays (Micikevicius et al. 2022, "FP8 Formats for
 * Deep Learning"): E4M3 with bias 7 and one NaN but no infinity, E5M2 as IEEE 754 would have it.
 */
import { float16ToFloat32 } from "./half.js";

/** E4M3 bits [n] -> float32 [n]; exact. The largest is 448; 0x7f and 0xff are NaN. */
export const e4m3ToFloat32 = (codes: Uint8Array): Float32Array => widened(codes, e4m3);

/** E5M2 bits [n] -> float32 [n]; exact: they are the upper half of a float16. */
export const e5m2ToFloat32 = (codes: Uint8Array): Float32Array => widened(codes, e5m2);

function widened(codes: Uint8Array, table: Float32Array): Float32Array {
  const floats = new Float32Array(codes.length);
  for (let i = 0; i < codes.length; i++) floats[i] = table[codes[i]!]!;
  return floats;
}

const e4m3 = Float32Array.from({ length: 256 }, (_, code) => {
  const [sign, exponent, mantissa] = [code & 0x80 ? -1 : 1, (code >> 3) & 15, code & 7];
  if ((code & 0x7f) === 0x7f) return Number.NaN;
  return sign * (exponent === 0 ? mantissa * 2 ** -9 : (8 + mantissa) * 2 ** (exponent - 10));
});

const e5m2 = float16ToFloat32(Uint16Array.from({ length: 256 }, (_, code) => code << 8));
