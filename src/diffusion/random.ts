/** @file PyTorch's CPU random numbers (mt19937), bit for bit, and the interface of all generators. */

import { InvalidRequest } from "../errors.js";

/** The dtype in which normal numbers are drawn, as an argument of `torch.randn`. */
export type NoiseDtype = "float32" | "float16" | "bfloat16";

/** A generator of standard normal numbers: `Generator` (CPU) or `CudaGenerator`. */
export interface NoiseSource {
  /** `length` normal numbers of PyTorch's `randn` in that dtype, each exactly representable in it. */
  normal(length: number, dtype?: NoiseDtype): Float32Array;
  /** A generator that continues with the same numbers. */
  clone(): NoiseSource;
  /** Plain JSON. Assigning it continues the sequence where it was read. */
  get state(): NoiseState;
  set state(value: NoiseState);
}

/** The state of a generator of either kind. */
export type NoiseState = MersenneState | PhiloxState;

/** The state of a `Generator`. */
export interface MersenneState {
  readonly kind: "mt19937";
  /** mt19937's 624 words of 32 bits. */
  readonly words: readonly number[];
  /** Index of the next word, 0 to 624. */
  readonly next: number;
  /** The second number of the last pair of scalar normal numbers, if it was not drawn yet. */
  readonly kept: number | null;
}

/** The state of a `CudaGenerator`. */
export interface PhiloxState {
  readonly kind: "philox";
  /** 0 to 2^64 - 1, in decimal. */
  readonly seed: string;
  /** How many numbers every thread has drawn. */
  readonly offset: number;
}

/** Standard normal numbers, float32[length]. Each generator of a list draws an equal part of them, in order. */
export function randn(
  length: number,
  generator: NoiseSource | readonly NoiseSource[],
  { dtype = "float32" }: { dtype?: NoiseDtype } = {},
): Float32Array {
  if (!isList(generator)) return generator.normal(length, dtype);
  if (generator.length === 0 || length % generator.length !== 0) {
    const rule = `must be a list whose length divides ${length} numbers evenly, got ${generator.length} generators.`;
    throw new InvalidRequest("generator", generator.length, `${rule} Give one generator per image.`);
  }
  const share = length / generator.length;
  const joined = new Float32Array(length);
  for (const [i, one] of generator.entries()) joined.set(one.normal(share, dtype), i * share);
  return joined;
}

// Array.isArray does not narrow a readonly array.
const isList = (g: NoiseSource | readonly NoiseSource[]): g is readonly NoiseSource[] => Array.isArray(g);

/** A seed as PyTorch's `manual_seed` reads it: -2^63 to 2^64 - 1, wrapped modulo 2^64. */
export function wrapSeed(seed: number | bigint): bigint {
  const whole = typeof seed === "bigint" || Number.isSafeInteger(seed);
  if (!whole || BigInt(seed) < -(2n ** 63n) || BigInt(seed) >= 2n ** 64n) {
    const rule = `must be an integer from -2^63 to 2^64 - 1, got ${seed}. Beyond 2^53 write a bigint (5n).`;
    throw new InvalidRequest("seed", seed, rule);
  }
  return BigInt.asUintN(64, BigInt(seed));
}

const N = 624;
const M = 397;

/**
 * PyTorch's CPU generator: mt19937 (Matsumoto and Nishimura 1998) and its normal transforms.
 *
 * float32 and integers are PyTorch's bit for bit (an x86 machine with AVX2 or better), float16 and bfloat16
 * too, as of PyTorch 2.8 (later ones draw these two otherwise). float64 normals can differ in the last bits,
 * where the platform's log, sin and cos do.
 */
export class Generator implements NoiseSource {
  readonly #words = new Uint32Array(N);
  #next = N;
  #kept: number | null = null;

  /** Only the low 32 bits of the seed count, as in PyTorch. */
  constructor(seed: number | bigint) {
    this.#words[0] = Number(wrapSeed(seed) & 0xffffffffn);
    for (let i = 1; i < N; i++) {
      const before = this.#words[i - 1]!;
      this.#words[i] = Math.imul(1812433253, before ^ (before >>> 30)) + i;
    }
  }

  clone(): Generator {
    const copy = new Generator(0);
    copy.state = this.state;
    return copy;
  }

  get state(): MersenneState {
    return { kind: "mt19937", words: [...this.#words], next: this.#next, kept: this.#kept };
  }

  set state(state: NoiseState) {
    if (state.kind !== "mt19937" || state.words?.length !== N || !(state.next >= 0 && state.next <= N)) {
      throw new InvalidRequest(
        "state",
        state,
        `must be what Generator.state gave, got kind "${state.kind}".`,
      );
    }
    this.#words.set(state.words);
    this.#next = state.next;
    this.#kept = state.kept;
  }

  /** The next 32 bits. */
  random32(): number {
    if (this.#next === N) this.#twist();
    let y = this.#words[this.#next++]!;
    y ^= y >>> 11;
    y ^= (y << 7) & 0x9d2c5680;
    y ^= (y << 15) & 0xefc60000;
    return (y ^ (y >>> 18)) >>> 0;
  }

  /** The next 64 bits, the high word drawn first. */
  random64(): bigint {
    const high = this.random32();
    return (BigInt(high) << 32n) | BigInt(this.random32());
  }

  /** `torch.rand`: uniform numbers of [0, 1) with as many bits as the dtype's mantissa. */
  uniform(length: number, dtype: NoiseDtype | "float64" = "float32"): Float64Array {
    return Float64Array.from({ length }, () => this.#uniform(dtype));
  }

  /** `torch.randint(low, high)`: high is excluded. */
  randint(length: number, { low = 0, high }: { low?: number; high: number }): Float64Array {
    const range = high - low;
    if (!Number.isSafeInteger(low) || !Number.isSafeInteger(high) || range < 1) {
      throw new InvalidRequest("high", high, `must be an integer above low (${low}), got ${high}.`);
    }
    // PyTorch takes one word below 2^28 and two from there on.
    const one = () => (range < 2 ** 28 ? this.random32() % range : Number(this.random64() % BigInt(range)));
    return Float64Array.from({ length }, () => low + one());
  }

  /** `torch.randperm`: the numbers 0 to length - 1 in random order. */
  permutation(length: number): Int32Array {
    const order = Int32Array.from({ length }, (_, i) => i);
    for (let i = 0; i < length - 1; i++) {
      const j = i + (this.random32() % (length - i));
      const swapped = order[i]!;
      order[i] = order[j]!;
      order[j] = swapped;
    }
    return order;
  }

  /** `torch.randn` of a contiguous tensor with `length` elements. */
  normal(length: number, dtype: NoiseDtype = "float32"): Float32Array {
    return this.#fill(new Float32Array(length), dtype);
  }

  /** `torch.randn` in float64: near PyTorch's to a few 1e-16, see the class. */
  normal64(length: number): Float64Array {
    return this.#fill(new Float64Array(length), "float64");
  }

  /** One standard normal number in double precision, by PyTorch's path for single numbers. */
  normal1(): number {
    if (this.#kept !== null) {
      const kept = this.#kept;
      this.#kept = null;
      return kept;
    }
    const theta = 2 * Math.PI * this.#uniform("float64");
    const r = Math.sqrt(-2 * Math.log1p(-this.#uniform("float64")));
    this.#kept = r * Math.sin(theta);
    return r * Math.cos(theta);
  }

  // Below 16 elements PyTorch draws one by one; from 16 on in blocks, and a ragged end is drawn anew.
  #fill<T extends Float32Array | Float64Array>(x: T, dtype: NoiseDtype | "float64"): T {
    const n = x.length;
    const round = roundings[dtype];
    if (n < 16) {
      for (let i = 0; i < n; i++) x[i] = round(this.normal1());
      return x;
    }
    const pair =
      dtype === "float32" ? boxMuller32 : boxMuller(round, dtype === "float64" ? same : Math.fround);
    const block = (start: number) => {
      for (let j = start; j < start + 8; j++) [x[j], x[j + 8]] = pair(x[j]!, x[j + 8]!) as [number, number];
    };
    for (let i = 0; i < n; i++) x[i] = this.#uniform(dtype);
    for (let start = 0; start + 16 <= n; start += 16) block(start);
    if (n % 16 !== 0) {
      for (let i = n - 16; i < n; i++) x[i] = this.#uniform(dtype);
      block(n - 16);
    }
    return x;
  }

  #uniform(dtype: NoiseDtype | "float64"): number {
    if (dtype === "float64") return Number(this.random64() & 0x1fffffffffffffn) / 2 ** 53;
    const bits = mantissaBits[dtype];
    return (this.random32() & (2 ** bits - 1)) / 2 ** bits;
  }

  #twist(): void {
    const w = this.#words;
    for (let i = 0; i < N; i++) {
      const y = (w[i]! & 0x80000000) | (w[(i + 1) % N]! & 0x7fffffff);
      w[i] = w[(i + M) % N]! ^ (y >>> 1) ^ (y & 1 ? 0x9908b0df : 0);
    }
    this.#next = 0;
  }
}

const mantissaBits = { float32: 24, float16: 11, bfloat16: 8 } as const;

const same = (x: number) => x;

/** Nearest value (ties to even) of each dtype. PyTorch makes half precision from float32, not from double. */
export const roundings: Record<NoiseDtype | "float64", (x: number) => number> = {
  float64: same,
  float32: Math.fround,
  float16: (x) => roundTo(Math.fround(x), 10, -14),
  bfloat16: (x) => roundTo(Math.fround(x), 7, -126),
};

// Adding 1.5 * 2^52 units of the last kept place leaves that place as the double's own last bit.
function roundTo(x: number, fractionBits: number, lowestExponent: number): number {
  if (x === 0) return x;
  const exponent = Math.max(Math.floor(Math.log2(Math.abs(x))), lowestExponent);
  const shift = 1.5 * 2 ** (52 + exponent - fractionBits);
  return x + shift - shift;
}

/** Box and Muller 1958, rounding every intermediate to the dtype as PyTorch's fill does. */
function boxMuller(round: (x: number) => number, wide: (x: number) => number) {
  return (x1: number, x2: number): [number, number] => {
    const log = round(wide(Math.log(round(1 - x1))));
    const r = round(wide(Math.sqrt(round(-2 * log))));
    const theta = round(2 * Math.PI * x2);
    return [round(r * round(wide(Math.cos(theta)))), round(r * round(wide(Math.sin(theta))))];
  };
}

const f = Math.fround;
const tau = f(2 * Math.PI);

// The product of two float32 is exact in a double, so this is a fused step.
const fma = (a: number, b: number, c: number) => f(a * b + c);
const polynomial = (x: number, coefficients: Float32Array) => {
  let y = coefficients[0]!;
  for (let i = 1; i < coefficients.length; i++) y = fma(y, x, coefficients[i]!);
  return y;
};

/** The float32 transform of machines with AVX2: Cephes' single-precision polynomials, every step fused. */
function boxMuller32(x1: number, x2: number): [number, number] {
  const r = f(Math.sqrt(f(-2 * log32(f(1 - x1)))));
  const [sin, cos] = sincos32(f(tau * x2));
  return [f(r * cos), f(r * sin)];
}

const logCoefficients = Float32Array.of(
  ...[7.0376836292e-2, -1.151461031e-1, 1.167699874e-1, -1.2420140846e-1, 1.4249322787e-1],
  ...[-1.6668057665e-1, 2.0000714765e-1, -2.4999993993e-1, 3.3333331174e-1],
);
const sinCoefficients = Float32Array.of(-1.9515295891e-4, 8.3321608736e-3, -1.6666654611e-1);
const cosCoefficients = Float32Array.of(2.443315711809948e-5, -1.388731625493765e-3, 4.166664568298827e-2);
const [ln2Low, ln2High, rootHalf] = [f(-2.1219444e-4), 0.693359375, f(Math.SQRT1_2)];
const fourOverPi = f(4 / Math.PI);
// Minus pi / 4 in three parts of few bits, so that their products with an octant are exact.
const [quarter1, quarter2, quarter3] = [-0.78515625, f(-2.4187564849853516e-4), f(-3.774894977445941e-8)];

/** Cephes' logf for normal x > 0. */
function log32(x: number): number {
  let exponent = Math.floor(Math.log2(x)) + 1;
  let m = x / 2 ** exponent;
  if (m < rootHalf) {
    exponent -= 1;
    m = f(2 * m - 1);
  } else {
    m = f(m - 1);
  }
  const z = f(m * m);
  const tail = fma(f(polynomial(m, logCoefficients) * m), z, f(exponent * ln2Low));
  return fma(exponent, ln2High, f(m + f(tail - z / 2)));
}

/** Cephes' sinf and cosf for x >= 0, reduced to an eighth of the circle. */
function sincos32(x: number): [number, number] {
  const octant = (Math.trunc(f(x * fourOverPi)) + 1) & ~1;
  const r = fma(octant, quarter3, fma(octant, quarter2, fma(octant, quarter1, x)));
  const z = f(r * r);
  const c = f(fma(f(polynomial(z, cosCoefficients) * z), z, -z / 2) + 1);
  const s = fma(f(polynomial(z, sinCoefficients) * z), r, r);
  const [sin, cos] = octant & 2 ? [c, s] : [s, c];
  return [octant & 4 ? -sin : sin, (octant - 2) & 4 ? cos : -cos];
}
