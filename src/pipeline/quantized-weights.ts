/**
 * @file The quantised weights of a network: made once from its files and what is added to them, tensor by tensor, and
 * then read from the cache, where ONNX Runtime maps them.
 */

import type { QuantizedFormat } from "../engine/device.js";
import type { Engine } from "../engine/engine.js";
import { unsaturatedBits } from "../engine/saturation.js";
import { stat } from "../files/file-system.js";
import { count, type Shape } from "../tensor/tensor.js";
import { hashOf, hashPrefix, weightFingerprint } from "../weights/fingerprint.js";
import { blockOf, quantizeBlocks, quantizeKernel, quantizeRows, scalesName } from "../weights/quantize.js";
import { cachedWeights } from "../weights/quantized-cache.js";
import type { TensorLayout } from "../weights/safetensors.js";
import { readBytes, readFloat32, type WeightEntry, writeInAnyOrder } from "../weights/safetensors-file.js";
import type { WeightSet } from "../weights/weight-set.js";
import { type ChangedWeight, type WeightChanges, withChanges } from "./weight-changes.js";

/** What a network's weights are before they are quantised. */
export type UnquantizedWeights = {
  name: string;
  weights: WeightSet;
  changes: WeightChanges;
  /** The names of its weights: files may hold others. */
  wanted: Iterable<string>;
};

/** Changes with what is written. */
const version = 2;

/** How matrices [N, K] are held in a format, and in some the kernels of convolutions, [O, C, kh, kw]. */
type Quantizer = {
  layouts: (shape: Shape) => { codes: TensorLayout; scales: TensorLayout };
  quantize: (w: Float32Array, shape: Shape, bits: 7 | 8) => { codes: ArrayBufferView; scales: Float32Array };
  /** The bits of a code. */
  bits: (engine: Engine) => Promise<7 | 8>;
};

const quantizers: Readonly<Record<QuantizedFormat, Quantizer>> = {
  int8: {
    layouts: (shape) => {
      const [N, K] = shape as [number, number];
      const block = blockOf(K)!;
      return {
        codes: { dtype: "U8", shape: [N, K / block, block] },
        scales: { dtype: "F32", shape: [N, K / block] },
      };
    },
    quantize: (w, [, K]) => quantizeBlocks(w, blockOf(K!)!),
    bits: async () => 8, // MatMulNBits saturates nowhere: `rewrite/quantized-layers.test.ts`
  },
  "int8-fast": {
    layouts: ([N, ...rest]) => ({
      codes: { dtype: "I8", shape: [count(rest), N!] },
      scales: { dtype: "F32", shape: [N!] },
    }),
    quantize: (w, shape, bits) =>
      shape.length === 4
        ? quantizeKernel(w, shape as [number, number, number, number], bits)
        : quantizeRows(w, shape[0]!, bits),
    bits: unsaturatedBits,
  },
};

/** What is done to a network's weights: those of `quantized` by `quantizer`, the others stay. */
type Recipe = { quantizer: Quantizer; bits: 7 | 8; quantized: ReadonlyMap<string, Shape> };

/** All weights of a network in one file, those of `quantized` in eight bits, the others as they are stored or changed. */
export async function quantizedWeights(
  source: UnquantizedWeights,
  format: QuantizedFormat,
  quantized: ReadonlyMap<string, Shape>,
  engine: Engine,
): Promise<WeightSet> {
  const { name, weights, changes } = source;
  const names = [...source.wanted];
  const quantizer = quantizers[format];
  const recipe = { quantizer, bits: await quantizer.bits(engine), quantized };
  const layouts = new Map(names.flatMap((one) => layoutsOf(one, weights.tensors.get(one)!, source, recipe)));
  const marks = [version, recipe.bits, [...layouts], await sourceMarks(weights), await changeMarks(changes)];
  const key = hashOf(marks).slice(hashPrefix.length, hashPrefix.length + 32);
  return cachedWeights(`${name}-${key}`, (file) =>
    withChanges(engine, async (changed) => {
      const tensors = quantizedTensors(names, source, recipe, changed);
      await writeInAnyOrder(file, layouts, tensors, {
        ...{ network: name, sources: JSON.stringify(weights.files) },
      });
    }),
  );
}

/** A weight of another layout than its shape, or that is scaled or changed, is written in float32. */
const isRewritten = (name: string, { transposed, scale }: WeightEntry, { changes }: UnquantizedWeights) =>
  transposed || scale !== undefined || changes.has(name);

function layoutsOf(
  name: string,
  entry: WeightEntry,
  source: UnquantizedWeights,
  { quantizer, quantized }: Recipe,
): [string, TensorLayout][] {
  const { shape } = entry;
  if (!quantized.has(name)) {
    const dtype = isRewritten(name, entry, source) ? "F32" : entry.dtype;
    return [[name, { dtype, shape }]];
  }
  const { codes, scales } = quantizer.layouts(shape);
  return [
    [name, codes],
    [scalesName(name), scales],
  ];
}

async function* quantizedTensors(
  names: readonly string[],
  source: UnquantizedWeights,
  { quantizer, bits, quantized }: Recipe,
  changed: ChangedWeight,
): AsyncGenerator<readonly [string, ArrayBufferView]> {
  for (const name of names) {
    const entry = source.weights.tensors.get(name)!;
    const changes = source.changes.get(name);
    const floats = () => (changes ? changed(name, entry, changes) : readFloat32(name, entry));
    if (quantized.has(name)) {
      const { codes, scales } = quantizer.quantize(await floats(), entry.shape, bits);
      yield [name, codes];
      yield [scalesName(name), scales];
    } else yield [name, isRewritten(name, entry, source) ? await floats() : await readBytes(entry)];
  }
}

/** The fingerprint of files is of samples: what changed between them shows in their time alone. */
const fileMarks = async (file: string): Promise<unknown> => {
  const { size, mtimeMs } = await stat(file);
  return [size, mtimeMs];
};

const sourceMarks = async (weights: WeightSet): Promise<unknown> => [
  await weightFingerprint(weights),
  [...weights.tensors].map(([name, entry]) => [name, ...placeOf(entry)]),
  await Promise.all(weights.files.map(fileMarks)),
];

const placeOf = ({ offset, length, transposed, scale }: WeightEntry) => [
  offset,
  length,
  transposed === true,
  scale && [...scale],
];

async function changeMarks(changes: WeightChanges): Promise<unknown> {
  const files: string[] = [];
  const placed = (entry: WeightEntry) => {
    if (!files.includes(entry.file)) files.push(entry.file);
    return [files.indexOf(entry.file), ...placeOf(entry)];
  };
  const each = [...changes].map(([name, all]) => [
    name,
    all.map((change) => {
      if ("added" in change) return [change.factor, placed(change.added)];
      const { layer, strength } = change;
      const tensors = Object.entries(layer.tensors).map(([role, entry]) => [role, placed(entry)]);
      const { kind, scale, magnitude } = layer;
      return [kind, scale, strength, tensors, magnitude && [magnitude.of, placed(magnitude.entry)]];
    }),
  ]);
  return [each, await Promise.all(files.map(fileMarks))];
}
