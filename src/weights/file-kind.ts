/** @file What else a .safetensors file may be, by the names of its tensors: for errors that say where it belongs. */

import { isAdapterKey } from "./adapter-keys.js";

export type FileKindFound = { what: string; remedy: string };

const adapter = { what: "an adapter, such as a LoRA", remedy: "Give it as --lora, over a model." };
const inversion = { what: "a textual inversion", remedy: "Give it as --embedding, over a model." };
const model = { what: "a whole model", remedy: "Give it as --model." };

/** What is added to a model; undefined for other files. */
export function additionKind(names: readonly string[]): FileKindFound | undefined {
  if (names.some(isAdapterKey)) return adapter;
  if (names.some((name) => /^(emb_params|clip_[lg]|string_to_param)$/.test(name))) return inversion;
  // A single tensor that is called as the token.
  return names.length === 1 && !/\.(weight|bias)$/.test(names[0]!) ? inversion : undefined;
}

/** The same, or a whole model. */
export function fileKind(names: readonly string[]): FileKindFound | undefined {
  const has = (pattern: RegExp) => names.some((name) => pattern.test(name));
  const isWhole = has(/diffusion_model\.input_blocks\./) && has(/^(first_stage_model|cond\w+)\./);
  return additionKind(names) ?? (isWhole ? model : undefined);
}
