/** @file Models with a safety checker for tests: one that flags what the golden run says, one that flags every image. */

import { cpSync } from "node:fs";
import path from "node:path";
import type { GoldenLayers } from "../golden/conformance/layers.js";
import { readTensor, resolveWeights } from "../src/weights/component.js";
import type { TensorData } from "../src/weights/safetensors.js";
import { writeSafetensors } from "../src/weights/safetensors-file.js";

/** SD 2 with its checker, at `to`; `changed` are tensors of the checker in place of the folder's. */
export async function checkedModel(
  layers: GoldenLayers,
  to: string,
  changed: (name: string, own: TensorData) => Promise<TensorData> | TensorData,
): Promise<string> {
  cpSync(await layers.complete("pipelines/safety-sd2-tiny"), to, { recursive: true });
  const file = path.join(to, "safety_checker/model.safetensors");
  const own = await resolveWeights(file);
  const tensors = new Map<string, TensorData>();
  for (const [name, entry] of own.tensors) {
    const data = await readTensor(own, name);
    tensors.set(name, await changed(name, { ...entry, data }));
  }
  await writeSafetensors(file, tensors);
  return to;
}

/** Every cosine is over a threshold of -2. */
export const flagsAll = (name: string, own: TensorData): TensorData =>
  name === "concept_embeds_weights" ? { ...own, data: new Float32Array(17).fill(-2) } : own;
