/** @file Rounding, linspace and interpolation as NumPy and PyTorch compute them, to the last bit. */

/** Rounds to float32, as every operation on a float32 tensor does. */
export const f32 = Math.fround;

/** Rounds halves to the even neighbour, as np.round does. */
export function roundHalfEven(x: number): number {
  const below = Math.floor(x);
  const rest = x - below;
  if (rest !== 0.5) return Math.round(x);
  return below % 2 === 0 ? below : below + 1;
}

/** np.linspace in float64, both ends included; one value is `start`. */
export function linspace(start: number, stop: number, count: number): number[] {
  const step = (stop - start) / (count - 1);
  return Array.from({ length: count }, (_, i) => {
    if (i === 0) return start;
    return i === count - 1 ? stop : i * step + start;
  });
}

/** torch.linspace in float32: counted from the nearer end, product and sum rounded once (a fused multiply-add). */
export function linspace32(start: number, stop: number, count: number): Float32Array {
  const [a, b] = [f32(start), f32(stop)];
  const step = f32(f32(b - a) / (count - 1));
  const half = Math.floor(count / 2);
  const at = (i: number) => (i < half ? a + step * i : b - step * (count - 1 - i));
  return Float32Array.from({ length: count }, (_, i) => (count === 1 ? a : at(i)));
}

/** np.arange(start, 0, -step): NumPy fixes the length first and then steps by the rounded first difference. */
export function arangeToZero(start: number, step: number): number[] {
  const difference = start - step - start;
  return Array.from({ length: Math.ceil(start / step) }, (_, i) => start + i * difference);
}

/** np.interp over the table's indices, in float64; beyond the table its end values. */
export function interpolate(x: number, table: ArrayLike<number>): number {
  const last = table.length - 1;
  if (x <= 0) return table[0]!;
  if (x >= last) return table[last]!;
  const low = Math.floor(x);
  return (table[low + 1]! - table[low]!) * (x - low) + table[low]!;
}

/** torch.lerp: measured from the nearer end. */
export function lerp32(from: number, to: number, weight: number): number {
  const span = f32(to - from);
  return weight < 0.5 ? f32(from + f32(weight * span)) : f32(to - f32(span * f32(1 - weight)));
}

const logNumerator = [
  0, 1, 2.112677543073053, 1.4800006335765066, 0.3808837741388408, 0.02589979117907923,
].map(f32);
const logDenominator = [
  1, 2.612677543073109, 2.453006071784736, 0.9864942958519418, 0.15464763749839067, 0.005875095403124574,
].map(f32);

/**
 * NumPy's float32 logarithm on AVX2 and AVX-512: a rational minimax approximation, not the nearest float32.
 * Which side of the exact value it falls on decides whether a solver's first timestep is 999 or, cut off, 998.
 */
export function log32(x: number): number {
  if (!(x > 0) || x === Infinity) return f32(Math.log(x));
  let exponent = Math.floor(Math.log2(x)) + 1;
  let mantissa = x / 2 ** exponent;
  if (mantissa <= f32(Math.SQRT1_2)) [mantissa, exponent] = [mantissa * 2, exponent - 1];
  const m = f32(mantissa - 1);
  const polynomial = (c: readonly number[]) => c.reduceRight((sum, k) => f32(sum * m + k));
  return f32(exponent * f32(Math.LN2) + f32(polynomial(logNumerator) / polynomial(logDenominator)));
}
