/** @file Conversions between float32 and the bits of float16 and bfloat16, over typed arrays. */

/** float16 bits [n] -> float32 [n]; exact, subnormals, infinities and NaN included (IEEE 754 binary16). */
export function float16ToFloat32(halves: Uint16Array, out = new Float32Array(halves.length)): Float32Array {
  const bits = new Uint32Array(out.buffer, out.byteOffset, out.length);
  for (let i = 0; i < halves.length; i++) {
    const h = halves[i]!;
    const sign = (h & 0x8000) << 16;
    const magnitude = h & 0x7fff;
    if (magnitude >= 0x7c00) bits[i] = sign | 0x7f800000 | ((magnitude & 0x3ff) << 13);
    else if (magnitude >= 0x400) bits[i] = sign | ((magnitude << 13) + 0x38000000);
    else out[i] = (sign ? -magnitude : magnitude) * 2 ** -24;
  }
  return out;
}

/** float32 [n] -> float16 bits [n], to nearest even; beyond 65504 to infinity, NaN stays NaN. */
export function float32ToFloat16(floats: Float32Array, out = new Uint16Array(floats.length)): Uint16Array {
  const bits = new Uint32Array(floats.buffer, floats.byteOffset, floats.length);
  for (let i = 0; i < floats.length; i++) {
    const x = bits[i]!;
    out[i] = ((x >>> 16) & 0x8000) | halfMagnitude(x & 0x7fffffff, floats[i]!);
  }
  return out;
}

/** bfloat16 bits [n] -> float32 [n]; exact, a bfloat16 being the upper half of a float32. */
export function bfloat16ToFloat32(halves: Uint16Array, out = new Float32Array(halves.length)): Float32Array {
  const bits = new Uint32Array(out.buffer, out.byteOffset, out.length);
  for (let i = 0; i < halves.length; i++) bits[i] = halves[i]! << 16;
  return out;
}

/** float32 [n] -> bfloat16 bits [n], to nearest even; NaN stays NaN. */
export function float32ToBfloat16(floats: Float32Array, out = new Uint16Array(floats.length)): Uint16Array {
  const bits = new Uint32Array(floats.buffer, floats.byteOffset, floats.length);
  for (let i = 0; i < floats.length; i++) {
    const x = bits[i]!;
    // A NaN whose payload is in the lower half would become an infinity by truncation.
    const notANumber = (x & 0x7fffffff) > 0x7f800000;
    out[i] = notANumber ? (x >>> 16) | 0x40 : (x + 0x7fff + ((x >>> 16) & 1)) >>> 16;
  }
  return out;
}

function halfMagnitude(x: number, value: number): number {
  if (x > 0x7f800000) return 0x7e00;
  if (x >= 0x47800000) return 0x7c00;
  // The carry of the rounding may run into the exponent: that is the next binade, or infinity from 65520 on.
  if (x >= 0x38800000) return (x - 0x38000000 + 0xfff + ((x >>> 13) & 1)) >>> 13;
  // Adding 2^52 leaves a double no bits below one, so the addition itself rounds to nearest even.
  return Math.abs(value) * 2 ** 24 + 2 ** 52 - 2 ** 52;
}
