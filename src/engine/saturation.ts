/**
 * @file How many bits a weight may have where bytes are multiplied: AVX2 and AVX-512 without VNNI add the products of two
 * pairs of bytes in 16 bits, which saturate; a test of the operator itself decides.
 */

import { rowQuantizedLinear } from "../tensor/lowered-operations.js";
import { input, param } from "../tensor/operations.js";
import { Tensor } from "../tensor/tensor.js";
import { type Engine, floats, floatsOf } from "./engine.js";
import { lower } from "./lower.js";

const decided = new WeakMap<Engine, Promise<7 | 8>>();

/** 8 where the largest codes of one sign are summed right, else 7, whose products fit. */
export function unsaturatedBits(engine: Engine): Promise<7 | 8> {
  const known = decided.get(engine) ?? test(engine);
  decided.set(engine, known);
  known.catch(() => decided.delete(engine));
  return known;
}

const [rows, K, N] = [8, 64, 32];

async function test(engine: Engine): Promise<7 | 8> {
  const codes = new Tensor("param", [], [K, N], { path: "codes" }, "int8");
  const y = rowQuantizedLinear(input("x", [rows, K]), codes, param("scales", [N]));
  const bytes = (array: ArrayBufferView) =>
    new Uint8Array(array.buffer as ArrayBuffer, array.byteOffset, array.byteLength);
  const weights = new Map([
    ["codes", { dtype: "I8" as const, shape: [K, N], data: bytes(new Int8Array(K * N).fill(127)) }],
    ["scales", { dtype: "F32" as const, shape: [N], data: bytes(new Float32Array(N).fill(1 / 127)) }],
  ]);
  const session = await engine.load(lower("saturation test", { y }, { device: engine.device, weights }));
  try {
    const x = floats(new Float32Array(rows * K).fill(1), rows, K);
    const sums = floatsOf((await session.run({ x })).y);
    return sums.every((sum) => Math.abs(sum - K) < 0.01 * K) ? 8 : 7;
  } finally {
    await session.release();
  }
}
