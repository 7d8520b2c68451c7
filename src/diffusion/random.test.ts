/** @file PyTorch's numbers (golden/data/random.*) against ours, every path and dtype. */

import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { InvalidRequest } from "../errors.js";
import { CudaGenerator, philox } from "./philox.js";
import { Generator, type NoiseDtype, randn } from "./random.js";

const data = new URL("../../golden/data/", import.meta.url);
interface Draw {
  name: string;
  seed: number;
  shape?: number[];
  draw?: string;
}
// Seeds above 2^53 are written as plain numbers, which JSON.parse would round.
const quoted = readFileSync(new URL("random.json", data), "utf8").replace(/"seed": (-?\d+)/g, '"seed": "$1"');
const golden = JSON.parse(quoted) as { draws: Draw[]; cuda_note: { values: number[] } };
const tensors = readTensors(readFileSync(new URL("random.safetensors", data)));

type Values = number[] | bigint[];
interface Entry {
  dtype: string;
  data_offsets: [number, number];
}

function readTensors(file: Buffer): Map<string, Values> {
  const headerLength = Number(file.readBigUInt64LE(0));
  const header = JSON.parse(file.toString("utf8", 8, 8 + headerLength)) as Record<string, Entry>;
  const read = ([name, { dtype, data_offsets }]: [string, Entry]): [string, Values] => {
    const bytes = file.subarray(8 + headerLength + data_offsets[0], 8 + headerLength + data_offsets[1]);
    return [name, decode(dtype, new Uint8Array(bytes).buffer)];
  };
  return new Map(
    Object.entries(header)
      .filter(([name]) => name !== "__metadata__")
      .map(read),
  );
}

function decode(dtype: string, bytes: ArrayBuffer): Values {
  if (dtype === "F32") return [...new Float32Array(bytes)];
  if (dtype === "F64") return [...new Float64Array(bytes)];
  if (dtype === "I64") return [...new BigInt64Array(bytes)];
  if (dtype === "BF16")
    return [...new Float32Array(Uint32Array.from(new Uint16Array(bytes), (h) => h << 16).buffer)];
  if (dtype === "F16") return [...new Uint16Array(bytes)].map(half);
  throw new Error(`internal: dtype ${dtype}`);
}

function half(bits: number): number {
  const [sign, exponent, fraction] = [bits & 0x8000 ? -1 : 1, (bits >> 10) & 31, bits & 1023];
  return sign * (exponent === 0 ? fraction * 2 ** -24 : (1 + fraction / 1024) * 2 ** (exponent - 15));
}

const expected = (name: string) => tensors.get(name)!;
const draws = (start: string) => golden.draws.filter((d) => d.name.startsWith(start));
const count = (draw: Draw) => draw.shape!.reduce((a, b) => a * b, 1);
const seeded = (draw: Draw) => new Generator(BigInt(draw.seed));

function expectNear(got: ArrayLike<number>, want: Values, tolerance: number) {
  expect(got.length).toBe(want.length);
  const worst = Math.max(...want.map((w, i) => Math.abs(Number(w) - got[i]!)));
  expect(worst).toBeLessThanOrEqual(tolerance);
}

describe("Generator", () => {
  it("gives PyTorch's float32 randn bit for bit, for every seed and size", () => {
    expect(draws("randn.").length).toBe(156);
    for (const draw of draws("randn.")) {
      expect([...randn(count(draw), seeded(draw))], draw.name).toEqual(expected(draw.name));
    }
  });

  it.each(["float16", "bfloat16"] as const)("gives PyTorch's %s randn bit for bit", (dtype) => {
    expect(draws(`randn-${dtype}.`).length).toBe(20);
    for (const draw of draws(`randn-${dtype}.`)) {
      expect([...seeded(draw).normal(count(draw), dtype)], draw.name).toEqual(expected(draw.name));
    }
  });

  it("gives PyTorch's float64 randn to 1e-14", () => {
    expect(draws("randn-float64.").length).toBe(20);
    for (const draw of draws("randn-float64.")) {
      expectNear(seeded(draw).normal64(count(draw)), expected(draw.name), 1e-14);
    }
  });

  it("gives PyTorch's rand bit for bit in every dtype", () => {
    expect(draws("rand-").length).toBe(20);
    for (const draw of draws("rand-")) {
      const dtype = /^rand-(\w+)/.exec(draw.name)![1] as NoiseDtype | "float64";
      expect([...seeded(draw).uniform(count(draw), dtype)], draw.name).toEqual(expected(draw.name));
    }
  });

  it("gives PyTorch's 64-bit integers", () => {
    expect(draws("random_.").length).toBe(5);
    for (const draw of draws("random_.")) {
      const generator = seeded(draw);
      const got = Array.from({ length: count(draw) }, () => generator.random64() & (2n ** 63n - 1n));
      expect(got, draw.name).toEqual(expected(draw.name));
    }
  });

  it("keeps the second scalar normal over other draws, as a mixed sequence shows", () => {
    const generators = new Map<number, Generator>();
    expect(draws("mixed.").length).toBe(80);
    for (const draw of draws("mixed.")) {
      const generator = generators.get(draw.seed) ?? seeded(draw);
      generators.set(draw.seed, generator);
      const got = mixed(generator, draw.draw!);
      if (draw.draw!.startsWith("randn64")) expectNear(got, expected(draw.name), 1e-14);
      else expect([...got], draw.name).toEqual(expected(draw.name).map(Number));
    }
  });

  it("draws a strided tensor's numbers one at a time", () => {
    for (const draw of draws("normal_-strided.")) {
      const generator = seeded(draw);
      const [rows, columns] = draw.shape as [number, number];
      const memory = Array.from({ length: rows * columns }, () => Math.fround(generator.normal1()));
      const byIndex = Array.from(
        { length: rows * columns },
        (_, i) => memory[(i % columns) * rows + Math.floor(i / columns)],
      );
      expect(byIndex, draw.name).toEqual(expected(draw.name));
    }
  });

  it("continues exactly from a state that went through JSON, and from a clone", () => {
    const generator = new Generator(7);
    generator.normal(5);
    generator.normal(1000);
    const resumed = new Generator(0);
    resumed.state = JSON.parse(JSON.stringify(generator.state));
    const copy = generator.clone();
    const next = generator.normal(1001);
    expect(resumed.normal(1001)).toEqual(next);
    expect(copy.normal(1001)).toEqual(next);
  });

  it("draws an equal share from each generator of a list", () => {
    const joined = randn(40, [new Generator(1), new Generator(2)]);
    expect([...joined]).toEqual([...new Generator(1).normal(20), ...new Generator(2).normal(20)]);
    expect(() => randn(7, [new Generator(1), new Generator(2)])).toThrow(/divides 7 numbers/);
  });

  it.each([1.5, Number.NaN, 2 ** 53, 2n ** 64n, -(2n ** 63n) - 1n])("refuses the seed %s", (seed) => {
    expect(() => new Generator(seed)).toThrow(InvalidRequest);
  });
});

function mixed(generator: Generator, draw: string): Float32Array | Float64Array | Int32Array {
  const [kind, ...numbers] = draw.split(":") as [string, ...string[]];
  const [a, b, n] = numbers.map(Number) as [number, number, number];
  if (kind === "randn") return generator.normal(a);
  if (kind === "randn16") return generator.normal(a, "float16");
  if (kind === "randn64") return generator.normal64(a);
  if (kind === "rand") return generator.uniform(a);
  if (kind === "rand64") return generator.uniform(a, "float64");
  if (kind === "randperm") return generator.permutation(a);
  if (kind === "randint") return generator.randint(n, { low: a, high: b });
  throw new Error(`internal: draw ${draw}`);
}

describe("CudaGenerator", () => {
  // Known answers published with Random123 (philox4x32 10).
  it("computes Philox4x32-10's published answers", () => {
    const ones = 0xffffffff;
    expect(philox([0, 0, 0, 0], 0, 0)).toEqual([0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8]);
    expect(philox([ones, ones, ones, ones], ones, ones)).toEqual([
      0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd,
    ]);
    expect(philox([0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344], 0xa4093822, 0x299f31d0)).toEqual([
      0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1,
    ]);
  });

  it("gives the published torch.randn(9, device='cuda') to 1e-6", () => {
    expectNear(randn(9, new CudaGenerator(0)), golden.cuda_note.values, 1e-6);
  });

  it("takes a thread's second number when the device has too few threads for one pass", () => {
    const small = new CudaGenerator(0, { multiprocessors: 1, threadsPerMultiprocessor: 256 });
    const big = new CudaGenerator(0).normal(256 * 5);
    const got = small.normal(256 * 5);
    expect(got.subarray(0, 256)).toEqual(big.subarray(0, 256));
    expect(got.subarray(256, 512)).not.toEqual(big.subarray(256, 512));
    // The fifth stretch is the first number of every thread's second call: what the next call would begin with.
    const next = new CudaGenerator(0);
    next.normal(256);
    expect(got.subarray(1024)).toEqual(next.normal(256));
  });

  it("continues from its state and uses all 64 bits of a seed", () => {
    const generator = new CudaGenerator(-1);
    generator.normal(3);
    const resumed = new CudaGenerator(0);
    resumed.state = JSON.parse(JSON.stringify(generator.state));
    const copy = generator.clone();
    const next = generator.normal(9);
    expect(resumed.normal(9)).toEqual(next);
    expect(copy.normal(9)).toEqual(next);
    expect(new CudaGenerator(5).normal(9)).not.toEqual(new CudaGenerator(2n ** 32n + 5n).normal(9));
  });
});
