/** @file Whether a Stable Diffusion 2 without a statement of its own predicts v: by a layer's weights, as ComfyUI does. */

import { readFloat32 } from "../../weights/safetensors-file.js";
import type { WeightSet } from "../../weights/weight-set.js";

/** Of a model trained for v this bias spreads wider (`SD20.model_type` in ComfyUI's `supported_models.py`). */
const layer = "output_blocks.11.1.transformer_blocks.0.norm1.bias";
const widest = 0.09;

export async function predictsV({ tensors }: WeightSet, prefix: string): Promise<boolean> {
  const name = `${prefix}${layer}`;
  const entry = tensors.get(name);
  if (!entry) return false;
  const values = await readFloat32(name, entry);
  const mean = values.reduce((sum, v) => sum + v, 0) / values.length;
  const variance = values.reduce((sum, v) => sum + (v - mean) ** 2, 0) / values.length;
  return Math.sqrt(variance) > widest;
}
