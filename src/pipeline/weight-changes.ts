/** @file Adds LoRAs and other adapters to weights while they are loaded, in float32. */

import type { Engine, Session } from "../engine/engine.js";
import { floats, floatsOf } from "../engine/engine.js";
import { lower } from "../engine/lower.js";
import type { ElementType } from "../engine/onnx.js";
import { ModelError } from "../errors.js";
import { add, input, matmul } from "../tensor/operations.js";
import { count } from "../tensor/tensor.js";
import { adapterKinds, type Product } from "../weights/adapter-kinds.js";
import type { WeightEntry, WeightSet } from "../weights/component.js";
import { type LoraLayer, shapesOf } from "../weights/lora.js";
import { readBytes, readFloat32 } from "../weights/safetensors-file.js";

/**
 * A layer of an adapter with a strength, or numbers that are added times a factor. `file` is the name that errors have for
 * the file.
 */
export type WeightChange =
  | { file: string; layer: LoraLayer; strength: number }
  | { file: string; added: WeightEntry; factor: number };

/** What changes each weight, by its name, in this order. */
export type WeightChanges = ReadonlyMap<string, readonly WeightChange[]>;

/** A weight in memory, instead of what its file holds. */
export type WeightInMemory = {
  dtype: ElementType;
  data: Uint8Array<ArrayBuffer>;
  scale?: Float32Array<ArrayBuffer>;
};

/**
 * The weights of a component in memory: those that change as float32, all others as they are stored. All, because ONNX
 * Runtime reads no weight from a file once one is given from memory.
 */
export async function changedWeights(
  { tensors }: WeightSet,
  changes: WeightChanges,
  engine: Engine,
): Promise<Map<string, WeightInMemory>> {
  const held = new Map<string, WeightInMemory>();
  await withChanges(engine, async (changed) => {
    for (const [name, entry] of tensors) {
      const added = changes.get(name);
      const { dtype, scale } = entry;
      if (added) held.set(name, { dtype: "F32", data: bytesOf(await changed(name, entry, added)) });
      else held.set(name, { dtype, data: await readBytes(entry), ...(scale && { scale }) });
    }
  });
  return held;
}

/** A weight with its changes, in float32. */
export type ChangedWeight = (
  name: string,
  entry: WeightEntry,
  changes: readonly WeightChange[],
) => Promise<Float32Array>;

/** Calls `use` with what computes changed weights. */
export async function withChanges(
  engine: Engine,
  use: (changed: ChangedWeight) => Promise<void>,
): Promise<void> {
  const programs = await loadPrograms(engine);
  try {
    await use((name, entry, changes) => changed(name, entry, changes, programs));
  } finally {
    for (const program of Object.values(programs)) await program.release();
  }
}

const bytesOf = ({ buffer, byteOffset, byteLength }: Float32Array): Uint8Array<ArrayBuffer> =>
  new Uint8Array(buffer as ArrayBuffer, byteOffset, byteLength);

type Programs = { sum: Session; product: Session };

/** up: [out, rank], down: [rank, in] -> product: [out, in]; and with weight: [out, in] -> sum: weight + product */
async function loadPrograms(engine: Engine): Promise<Programs> {
  const product = matmul(input("up", [{ out: 2 }, { rank: 1 }]), input("down", [{ rank: 1 }, { in: 3 }]));
  const sum = add(input("weight", [{ out: 2 }, { in: 3 }]), product);
  const { device } = engine;
  return {
    sum: await engine.load(lower("weight change", { sum }, { device })),
    product: await engine.load(lower("product", { product }, { device })),
  };
}

type LowRank = { file: string; down: WeightEntry; up: WeightEntry; scale: number };

/** `scale * up @ down`, if that is all that a change is. */
function lowRank(change: WeightChange): LowRank | undefined {
  if (!("layer" in change)) return undefined;
  const { kind, tensors, magnitude, scale } = change.layer;
  const { down, up, mid } = tensors;
  if (kind !== "lora" || magnitude || mid || !down || !up) return undefined;
  return { file: change.file, down, up, scale: change.strength * scale };
}

/** The changes one after the other; low-rank ones that follow each other are one product. */
async function changed(
  name: string,
  entry: WeightEntry,
  changes: readonly WeightChange[],
  programs: Programs,
): Promise<Float32Array> {
  let weight: Float32Array = await readFloat32(name, entry);
  let products: LowRank[] = [];
  const addProducts = async () => {
    if (products.length > 0)
      weight = await withProducts(weight, name, entry.shape[0]!, products, programs.sum);
    products = [];
  };
  for (const change of changes) {
    const one = lowRank(change);
    if (one) products.push(one);
    else {
      await addProducts();
      weight = await withChange(weight, name, entry.shape, change, programs.product);
    }
  }
  await addProducts();
  return weight;
}

/** Their rank is the sum of all ranks. weight: [out, in...] */
async function withProducts(
  weight: Float32Array,
  name: string,
  out: number,
  added: readonly LowRank[],
  sum: Session,
): Promise<Float32Array> {
  const width = weight.length / out;
  const rank = added.reduce((ranks, { down }) => ranks + down.shape[0]!, 0);
  const [ups, downs] = [new Float32Array(out * rank), new Float32Array(rank * width)];
  let start = 0;
  for (const { file, down, up, scale } of added) {
    const own = down.shape[0]!;
    downs.set(await readFinite(file, name, down), start * width);
    const values = await readFinite(file, name, up);
    for (let i = 0; i < values.length; i++)
      ups[Math.floor(i / own) * rank + start + (i % own)] = scale * values[i]!;
    start += own;
  }
  const results = await sum.run({
    weight: floats(weight, out, width),
    up: floats(ups, out, rank),
    down: floats(downs, rank, width),
  });
  return floatsOf(results.sum);
}

async function withChange(
  weight: Float32Array,
  name: string,
  shape: readonly number[],
  change: WeightChange,
  session: Session,
): Promise<Float32Array> {
  const { file } = change;
  if ("added" in change) {
    const added = await readFinite(file, name, change.added);
    return weight.map((w, i) => w + change.factor * added[i]!);
  }
  const { layer, strength } = change;
  const { kind, tensors, magnitude, scale } = layer;
  const values: Record<string, Float32Array> = {};
  for (const [role, entry] of Object.entries(tensors)) values[role] = await readFinite(file, name, entry);
  const product: Product = async (a, b, inner) => {
    const up = floats(a, a.length / inner, inner);
    const { product } = await session.run({ up, down: floats(b, inner, b.length / inner) });
    return floatsOf(product);
  };
  const delta = await adapterKinds[kind].delta(values, shapesOf(tensors), product);
  if (!magnitude) return weight.map((w, i) => w + strength * scale * delta[i]!);
  const size = await readFinite(file, name, magnitude.entry);
  const [within, between] = magnitude.of === "peft" ? [strength, 1] : [1, strength];
  const moved = weight.map((w, i) => w + within * scale * delta[i]!);
  const scaled = withMagnitude(moved, size, shape, isByRow(magnitude));
  return between === 1 ? scaled : weight.map((w, i) => w + between * (scaled[i]! - w));
}

/** Of a trainer's, told by the first size: [out, 1...] or [1, in, 1...]. */
const isByRow = ({ of, entry: { shape } }: NonNullable<LoraLayer["magnitude"]>): boolean =>
  of === "peft" || shape[0] !== 1;

/**
 * DoRA: `magnitude * V / |V|`. The norm is that of each row, or of each column where there is a magnitude for each of those:
 * as LyCORIS since version 2 and PEFT have it, and as LyCORIS had it before.
 */
function withMagnitude(
  v: Float32Array,
  magnitude: Float32Array,
  [out, , ...kernel]: readonly number[],
  byRow: boolean,
): Float32Array {
  const [width, k] = [v.length / out!, count(kernel)];
  const groupOf = (i: number) => (byRow ? Math.floor(i / width) : Math.floor((i % width) / k));
  const squares = new Float64Array(magnitude.length);
  for (let i = 0; i < v.length; i++) squares[groupOf(i)]! += v[i]! * v[i]!;
  // LyCORIS adds float32's epsilon, so that a row of zeros stays one.
  const factors = squares.map((sum, at) => magnitude[at]! / (Math.sqrt(sum) + 2 ** -23));
  return v.map((x, i) => x * factors[groupOf(i)]!);
}

async function readFinite(file: string, weight: string, entry: WeightEntry): Promise<Float32Array> {
  const values = await readFloat32(weight, entry);
  const wrong = values.find((value) => !Number.isFinite(value));
  if (wrong === undefined) return values;
  throw new ModelError(file, `must hold finite numbers, got ${wrong} for ${weight}. Use another LoRA.`);
}
