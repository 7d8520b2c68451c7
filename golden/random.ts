/** @file random.json and random.safetensors: PyTorch's generator, every kind of draw. */

import path from "node:path";
import { z } from "zod";
import { CudaGenerator } from "../src/diffusion/philox.js";
import { Generator, type NoiseDtype, randn } from "../src/diffusion/random.js";
import { type Check, type Section, type TensorData, tensorData } from "./conformance/check.js";
import { bothOrNeither, openGolden, readGoldenJson } from "./conformance/golden-file.js";
import { cudaNote, equal, normal64 } from "./conformance/tolerances.js";

const drawSchema = z.object({
  name: z.string(),
  seed: z.string().regex(/^-?\d+$/),
  shape: z.array(z.int().nonnegative()).optional(),
  dtype: z.string().optional(),
  /** Of a mixed sequence: "randn:16", "randint:0:1000:9". */
  draw: z.string().optional(),
});
type Draw = z.infer<typeof drawSchema>;
const schema = z.object({
  draws: z.array(drawSchema),
  cuda_note: z.object({ values: z.array(z.number()) }).optional(),
});

/** A row per kind of draw; all draws of one seed in a mixed sequence come from one generator. */
export const random: Section = async ({ folder }) => {
  if (!(await bothOrNeither(folder, "random.json", "random.safetensors"))) return [];
  const { draws, cuda_note: note } = schema.parse(await readGoldenJson(path.join(folder, "random.json")));
  const file = await openGolden(path.join(folder, "random.safetensors"), () => false);
  const kinds = new Set([...draws.map((d) => kindOf(d.name)), ...file.names.map(kindOf)]);
  const rows = [...kinds].map((kind): Check => {
    const mine = draws.filter((d) => kindOf(d.name) === kind);
    const names = new Set([...mine.map((d) => d.name), ...file.names.filter((n) => kindOf(n) === kind)]);
    return {
      name: kind,
      compute: async () => drawAll(mine),
      expected: async () => {
        const expectation = async (name: string) => ({
          tolerance: toleranceOf(name),
          numbers: await file.expected(name),
        });
        return new Map(
          await Promise.all([...names].map(async (name) => [name, await expectation(name)] as const)),
        );
      },
    };
  });
  return note ? [...rows, cudaCheck(note.values)] : rows;
};

const kindOf = (name: string) => name.split(".")[0]!;
const toleranceOf = (name: string) => (/(^|\.)randn(-float64|64)[._]/.test(name) ? normal64 : equal);

/** Values of torch.randn(n, device="cuda") with seed 0 that were published. */
function cudaCheck(values: readonly number[]): Check {
  const n = values.length;
  return {
    name: "cuda_note",
    compute: async () => new Map([["randn", tensorData(randn(n, new CudaGenerator(0)))]]),
    expected: async () => new Map([["randn", { tolerance: cudaNote, numbers: tensorData(values) }]]),
  };
}

function drawAll(draws: readonly Draw[]): Map<string, TensorData> {
  const sequences = new Map<string, Generator>();
  return new Map(
    draws.map((draw) => {
      const fresh = () => new Generator(BigInt(draw.seed));
      if (draw.draw === undefined) return [draw.name, single(draw, fresh())];
      const generator = sequences.get(draw.seed) ?? fresh();
      sequences.set(draw.seed, generator);
      return [draw.name, tensorData(inSequence(generator, draw.draw))];
    }),
  );
}

function single({ name, shape = [], dtype = "float32" }: Draw, generator: Generator): TensorData {
  const n = shape.reduce((a, b) => a * b, 1);
  const kind = kindOf(name);
  if (kind.startsWith("randn")) return tensorData(normals(generator, n, dtype), ...shape);
  if (kind.startsWith("rand-"))
    return tensorData(generator.uniform(n, dtype as NoiseDtype | "float64"), ...shape);
  if (kind === "random_") {
    const mask = 2n ** 63n - 1n;
    return tensorData(
      BigInt64Array.from({ length: n }, () => generator.random64() & mask),
      ...shape,
    );
  }
  if (kind === "normal_-strided") return tensorData(strided(generator, shape), ...shape);
  if (kind === "normal_") return tensorData(scaled(name, generator.normal(n)), ...shape);
  throw new Error(`${name}: the conformance tool has no draw "${kind}"`);
}

const normals = (generator: Generator, n: number, dtype: string) =>
  dtype === "float64" ? generator.normal64(n) : generator.normal(n, dtype as NoiseDtype);

/** A transposed tensor is filled one number at a time, in the order of memory. */
function strided(generator: Generator, shape: readonly number[]): Float32Array {
  const [rows, columns] = shape as [number, number];
  const memory = Float32Array.from({ length: rows * columns }, () => generator.normal1());
  return memory.map((_, i) => memory[(i % columns) * rows + Math.floor(i / columns)]!);
}

/** `normal_(mean, std)`: mean and deviation are in the draw's name, and applied in one fused step. */
function scaled(name: string, normal: Float32Array): Float32Array {
  const [, mean, std] = /\.mean(-?[\d.]+)\.std([\d.]+)$/.exec(name) ?? [];
  if (mean === undefined) throw new Error(`${name}: must end in .mean<number>.std<number>`);
  return normal.map((x) => x * Number(std) + Number(mean));
}

function inSequence(generator: Generator, draw: string): ArrayLike<number> {
  const [kind, ...numbers] = draw.split(":");
  const [a = 0, b = 0, n = 0] = numbers.map(Number);
  if (kind === "randn") return generator.normal(a);
  if (kind === "randn16") return generator.normal(a, "float16");
  if (kind === "randn64") return generator.normal64(a);
  if (kind === "rand") return generator.uniform(a);
  if (kind === "rand64") return generator.uniform(a, "float64");
  if (kind === "randperm") return generator.permutation(a);
  if (kind === "randint") return generator.randint(n, { low: a, high: b });
  throw new Error(`the conformance tool has no draw "${draw}"`);
}
