/** @file Adds low-rank products, such as LoRAs, to weights while they are loaded, in float32. */

import type { Engine, Session } from "../engine/engine.js";
import { floats, floatsOf } from "../engine/engine.js";
import { lower } from "../engine/lower.js";
import type { ElementType } from "../engine/onnx.js";
import { ModelError } from "../errors.js";
import { add, input, matmul } from "../tensor/operations.js";
import type { WeightEntry, WeightSet } from "../weights/component.js";
import { readBytes, readFloat32 } from "../weights/safetensors-file.js";

/**
 * Adds `scale * up @ down`; up: [out, rank], down: [rank, the rest of the weight], trailing sizes of 1 or not. `file` is
 * the name that errors have for the file of both.
 */
export type LowRank = { file: string; down: WeightEntry; up: WeightEntry; scale: number };

/** What is added to each weight that changes, by its name. */
export type WeightChanges = ReadonlyMap<string, readonly LowRank[]>;

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
  const sum = await engine.load(sumProgram(engine));
  try {
    for (const [name, entry] of tensors) {
      const added = changes.get(name);
      const { dtype, scale } = entry;
      if (added) held.set(name, { dtype: "F32", data: await changed(name, entry, added, sum) });
      else held.set(name, { dtype, data: await readBytes(entry), ...(scale && { scale }) });
    }
  } finally {
    await sum.release();
  }
  return held;
}

/** weight: [out, in], up: [out, rank], down: [rank, in] -> weight + up @ down: [out, in] */
function sumProgram({ device }: Engine) {
  const weight = input("weight", [{ out: 2 }, { in: 3 }]);
  const product = matmul(input("up", [{ out: 2 }, { rank: 1 }]), input("down", [{ rank: 1 }, { in: 3 }]));
  return lower("weight change", { sum: add(weight, product) }, { device });
}

/** All changes of one weight are one product, whose rank is the sum of theirs. */
async function changed(
  name: string,
  entry: WeightEntry,
  added: readonly LowRank[],
  sum: Session,
): Promise<Uint8Array<ArrayBuffer>> {
  const out = entry.shape[0]!;
  const weight = await readFloat32(name, entry);
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
  const { buffer, byteOffset, byteLength } = floatsOf(results.sum);
  return new Uint8Array(buffer as ArrayBuffer, byteOffset, byteLength);
}

async function readFinite(file: string, weight: string, entry: WeightEntry): Promise<Float32Array> {
  const values = await readFloat32(weight, entry);
  const wrong = values.find((value) => !Number.isFinite(value));
  if (wrong === undefined) return values;
  throw new ModelError(file, `must hold finite numbers, got ${wrong} for ${weight}. Use another LoRA.`);
}
