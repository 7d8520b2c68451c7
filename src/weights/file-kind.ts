/** @file What else a .safetensors file may be, by the names of its tensors: for errors that say where it belongs. */

import { isAdapterKey } from "./adapter-keys.js";

export type FileKindFound = { what: string; remedy: string };

/** Goes over a model, by that option of the command line. */
export type AdditionFound = FileKindFound & { flag: "--lora" | "--embedding" };

const addition = (what: string, flag: AdditionFound["flag"]): AdditionFound => ({
  ...{ what, flag, remedy: `Give it as ${flag}, over a model.` },
});
const adapter = addition("an adapter, such as a LoRA", "--lora");
const inversion = addition("a textual inversion", "--embedding");
const model = { what: "a whole model", remedy: "Give it as --model." };

/** What is added to a model; undefined for other files. */
export function additionKind(names: readonly string[]): AdditionFound | undefined {
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
