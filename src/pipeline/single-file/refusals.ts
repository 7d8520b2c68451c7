/** @file Says what a .safetensors file is that is no model of a supported family, by the names of its tensors. */

import { listed, ModelError } from "../../errors.js";
import { clipsIn } from "../../models/infer-clip.js";
import { vaeNames } from "../../models/ldm-vae.js";
import { additionKind } from "../../weights/file-kind.js";
import type { WeightSet } from "../../weights/weight-set.js";
import { unetPrefix } from "./parts.js";

/** Other kinds of file by the names in them, and what to do; the first that matches is used. */
const kinds: readonly (readonly [pattern: RegExp, what: string, remedy: string])[] = [
  [
    /(^|\.)(input_hint_block|controlnet_cond_embedding|zero_convs|controlnet_blocks)\./,
    "a ControlNet",
    notSupported(),
  ],
  [/(^|\.)joint_blocks\./, "Stable Diffusion 3", notSupported()],
  [/(^|\.)(double_blocks|single_transformer_blocks)\./, "Flux or a relative of it", notSupported()],
  [/(^|\.)(double_layers|single_layers)\./, "AuraFlow", notSupported()],
  [/(^|\.)(effnet_mapper|clip_txt_mapper|clf)\./, "Stable Cascade", notSupported()],
  [
    /(^|\.)(caption_projection|adaln_single|t_embedder|x_embedder)\./,
    "a diffusion transformer",
    notSupported(),
  ],
  [/(^|\.)time_stack\.|(^|\.)temporal_/, "a video model", notSupported()],
];

function notSupported(): string {
  return "It is not supported: use KOALA, SDXL or Stable Diffusion 1 or 2.";
}

/** Throws a ModelError that says what the file is instead. */
export function refuseOther(path: string, file: WeightSet): never {
  const names = [...file.tensors.keys()];
  const rule = "must be a whole model (U-Net, autoencoder and text encoders)";
  if (unetPrefix(file) !== undefined) {
    const problem = "the blocks of its U-Net cannot be counted: tensors are missing or have other shapes";
    throw new ModelError(path, `${rule}, and ${problem}. Download it again.`);
  }
  const addition = additionKind(names);
  if (addition) throw new ModelError(path, `${rule}, got ${addition.what}. ${addition.remedy}`);
  const other = kinds.find(([pattern]) => names.some((name) => pattern.test(name)));
  if (other) throw new ModelError(path, `${rule}, got ${other[1]}. ${other[2]}`);
  const parts = [
    ...(names.includes("conv_in.weight") && names.some((name) => name.startsWith("down_blocks."))
      ? [["a U-Net in Diffusers' names", "Give it as --unet, over a model."] as const]
      : []),
    ...(vaeNames(names) ? [["an autoencoder", "Give it as --vae, over a model."] as const] : []),
    ...(clipsIn(names).length > 0
      ? [["a text encoder", "Give it as --text-encoder or --text-encoder-2, over a model."] as const]
      : []),
  ];
  const [part] = parts;
  if (part)
    throw new ModelError(path, `${rule}, got ${parts.map(([what]) => what).join(" and ")} alone. ${part[1]}`);
  const got = listed(names, 3) || "no tensors";
  throw new ModelError(path, `${rule}, got tensors of no known kind: ${got}. ${notSupported()}`);
}
