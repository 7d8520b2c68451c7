/** @file PyTorch's CUDA random numbers (Philox), computed without a GPU. */

import { InvalidRequest } from "../errors.js";
import {
  type NoiseDtype,
  type NoiseSource,
  type NoiseState,
  type PhiloxState,
  roundings,
  wrapSeed,
} from "./random.js";

const blockSize = 256;

/** The GPU whose numbers CudaGenerator computes; the default is an A100. */
export interface CudaDevice {
  /** Streaming multiprocessors; default 108. */
  multiprocessors?: number;
  /** Resident threads of each; default 2048. */
  threadsPerMultiprocessor?: number;
}

/**
 * PyTorch's CUDA generator: Philox4x32-10 (Salmon et al. 2011) through cuRAND's `curand_normal4`.
 *
 * Equal to about 1e-6, since the GPU's fast logarithm and sine are approximations. Up to one number for each
 * resident thread of the GPU (221,184 on an A100) the numbers are the same on all GPUs; above, they depend on
 * the one given. Source: PyTorch's DistributionTemplates.h.
 */
export class CudaGenerator implements NoiseSource {
  #seed: bigint;
  #offset = 0;
  readonly #maxBlocks: number;

  constructor(
    seed: number | bigint,
    { multiprocessors = 108, threadsPerMultiprocessor = 2048 }: CudaDevice = {},
  ) {
    this.#seed = wrapSeed(seed);
    this.#maxBlocks = multiprocessors * Math.floor(threadsPerMultiprocessor / blockSize);
    if (!Number.isInteger(this.#maxBlocks) || this.#maxBlocks < 1) {
      const rule = `must be an integer above 0, got ${multiprocessors}.`;
      throw new InvalidRequest("multiprocessors", multiprocessors, rule);
    }
  }

  clone(): CudaGenerator {
    const copy = new CudaGenerator(0, {
      multiprocessors: this.#maxBlocks,
      threadsPerMultiprocessor: blockSize,
    });
    copy.state = this.state;
    return copy;
  }

  get state(): PhiloxState {
    return { kind: "philox", seed: String(this.#seed), offset: this.#offset };
  }

  set state(state: NoiseState) {
    if (state.kind !== "philox" || !/^\d+$/.test(state.seed) || !Number.isSafeInteger(state.offset)) {
      const rule = `must be what CudaGenerator.state gave, got kind "${state.kind}".`;
      throw new InvalidRequest("state", state, rule);
    }
    this.#seed = wrapSeed(BigInt(state.seed));
    this.#offset = state.offset;
  }

  /** `torch.randn(length, device="cuda")`; half precision is the rounded float32. */
  normal(length: number, dtype: NoiseDtype = "float32"): Float32Array {
    const x = new Float32Array(length);
    if (length === 0) return x;
    const round = roundings[dtype];
    const threads = blockSize * Math.min(Math.ceil(length / blockSize), this.#maxBlocks);
    const passes = Math.ceil(length / (threads * 4));
    for (let pass = 0; pass < passes; pass++) {
      for (let thread = 0; thread < threads; thread++) {
        const four = this.#normal4(thread, this.#offset / 4 + pass);
        for (let i = 0; i < 4; i++) {
          const index = thread + threads * (4 * pass + i);
          if (index < length) x[index] = round(four[i]!);
        }
      }
    }
    this.#offset += 4 * passes;
    return x;
  }

  #normal4(thread: number, step: number): [number, number, number, number] {
    const counter: Words = [step >>> 0, Math.floor(step / 2 ** 32), thread, 0];
    const bits = philox(counter, Number(this.#seed & 0xffffffffn), Number(this.#seed >> 32n));
    return [...boxMuller(bits[0], bits[1]), ...boxMuller(bits[2], bits[3])];
  }
}

const f = Math.fround;
const unit = 2 ** -32;

// cuRAND gives the sine first, and its uniforms never reach 0.
function boxMuller(a: number, b: number): [number, number] {
  const u = f(f(a) * unit + unit / 2);
  const v = f(f(b) * f(unit * 2 * Math.PI) + f(unit * Math.PI));
  const r = f(Math.sqrt(f(-2 * f(Math.log(u)))));
  return [f(r * f(Math.sin(v))), f(r * f(Math.cos(v)))];
}

type Words = [number, number, number, number];

/** Philox4x32 with ten rounds. */
export function philox(counter: Readonly<Words>, keyLow: number, keyHigh: number): Words {
  let [x, y, z, w] = counter;
  for (let round = 0; round < 10; round++) {
    const k0 = keyLow + Math.imul(round, 0x9e3779b9);
    const k1 = keyHigh + Math.imul(round, 0xbb67ae85);
    const [left, right] = [x, z];
    x = (highWord(0xcd9e8d57, right) ^ y ^ k0) >>> 0;
    z = (highWord(0xd2511f53, left) ^ w ^ k1) >>> 0;
    y = Math.imul(0xcd9e8d57, right) >>> 0;
    w = Math.imul(0xd2511f53, left) >>> 0;
  }
  return [x, y, z, w];
}

/** The upper 32 bits of a 64-bit product. */
function highWord(a: number, b: number): number {
  const [aHigh, aLow, bHigh, bLow] = [a >>> 16, a & 0xffff, b >>> 16, b & 0xffff];
  const middle = aHigh * bLow + ((aLow * bLow) >>> 16);
  const carry = aLow * bHigh + (middle % 65536);
  return (aHigh * bHigh + Math.floor(middle / 65536) + Math.floor(carry / 65536)) >>> 0;
}
