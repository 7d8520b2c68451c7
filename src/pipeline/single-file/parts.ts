/**
 * @file The networks in a single file or in a file of one network: finds them by the names of their tensors, whatever
 * stands before those, and gives each as a set of weights in Diffusers' names. Reads and copies no tensor.
 */

import { listed, ModelError } from "../../errors.js";
import { clipName } from "../../models/clip.js";
import { clipsIn, type FoundClip, openClipTarget } from "../../models/infer-clip.js";
import type { Shapes } from "../../models/infer-unet.js";
import { vaeNames, vaeShape } from "../../models/ldm-vae.js";
import { diffusersNames } from "../../models/sgm.js";
import type { UNetConfig } from "../../models/unet-config.js";
import { currentVaeName } from "../../models/vae.js";
import type { WeightEntry } from "../../weights/safetensors-file.js";
import { below, exchanged, mapped, renamed, rows, type WeightSet } from "../../weights/weight-set.js";

export type TextEncoderName = "text_encoder" | "text_encoder_2";

/** What stands before a U-Net's names: in a file of a whole model, in one of the U-Net alone. */
const unetPrefixes = ["model.diffusion_model.", "diffusion_model.", ""];

/** The prefix of a U-Net in sgm's names; undefined where the file holds none. */
export const unetPrefix = ({ tensors }: WeightSet): string | undefined =>
  unetPrefixes.find((prefix) => tensors.has(`${prefix}input_blocks.0.0.weight`));

/** Shapes by the names that follow a prefix. */
export function shapesBelow({ tensors }: WeightSet, prefix: string): Shapes {
  const shapes = new Map<string, readonly number[]>();
  for (const [name, { shape }] of tensors)
    if (name.startsWith(prefix)) shapes.set(name.slice(prefix.length), shape);
  return shapes;
}

/** The U-Net's weights under Diffusers' names; what this config's U-Net does not have is left out. */
export function unetPart(file: WeightSet, prefix: string, config: UNetConfig): WeightSet {
  const name = diffusersNames(config);
  return renamed(below(file, prefix), (old) => {
    const dot = old.lastIndexOf(".");
    const path = name(old.slice(0, dot));
    return path && path + old.slice(dot);
  });
}

/**
 * The same with each weight's moving average, which LitEma names after the weight, without dots. ModelError where one is
 * missing.
 */
export function averagedUnet(file: WeightSet, prefix: string): WeightSet {
  const missing: string[] = [];
  const averaged = mapped(file, (name, entry) => {
    if (!name.startsWith(prefix)) return [];
    const flat = `diffusion_model.${name.slice(prefix.length)}`.replaceAll(".", "");
    const average = file.tensors.get(`model_ema.${flat}`);
    if (!average) missing.push(name);
    return [[name, average ?? entry]];
  });
  if (missing.length === 0) return averaged;
  const got = `got ${averaged.tensors.size - missing.length} of ${averaged.tensors.size}, without that of ${listed(missing, 2)}`;
  const rule = "must hold the moving average of every weight of the U-Net (model_ema.*)";
  throw new ModelError(file.files[0]!, `${rule}, ${got}. Leave out --ema (ema in the library).`);
}

/** The autoencoder's weights under Diffusers' names and in its shapes; undefined where the file holds none. */
export function vaePart(file: WeightSet): WeightSet | undefined {
  const rename = vaeNames([...file.tensors.keys()]);
  if (!rename) return undefined;
  return mapped(file, (old, entry) => {
    const name = rename(old);
    if (name === undefined) return [];
    const current = currentVaeName(name);
    return [[current, { ...entry, shape: vaeShape(current, entry.shape) }]];
  });
}

/** Where SDXL's two encoders, and the only one of Stable Diffusion, stand in files of a whole model. */
const places: Readonly<Record<TextEncoderName, RegExp>> = {
  text_encoder: /^(conditioner\.embedders\.0\.|cond_stage_model\.|text_encoders\.clip_[lh]\.|text_encoder\.)/,
  text_encoder_2: /^(conditioner\.embedders\.1\.|text_encoders\.clip_g\.|text_encoder_2\.)/,
};

/** The text encoder of that name; the only one of a file, under whatever prefix, where `alone`. */
export function findClip(
  file: WeightSet,
  name: TextEncoderName,
  { alone = false } = {},
): FoundClip | undefined {
  const all = clipsIn(file.tensors.keys());
  return (
    all.find(({ prefix }) => places[name].test(prefix)) ?? (alone && all.length === 1 ? all[0] : undefined)
  );
}

/** A text encoder's weights under Diffusers' names. ModelError for fused matrices that are not of three parts. */
export function clipPart(file: WeightSet, { prefix, naming }: FoundClip): WeightSet {
  const own = below(file, prefix);
  return mapped(own, naming === "open_clip" ? openClipEntries : transformersEntries);
}

function transformersEntries(old: string, entry: WeightEntry): [string, WeightEntry][] {
  if (old === "text_projection") return openClipEntries(old, entry);
  const name = clipName(old);
  return /^text_(model|projection)\./.test(name) && !name.endsWith("position_ids") ? [[name, entry]] : [];
}

function openClipEntries(old: string, entry: WeightEntry): [string, WeightEntry][] {
  const target = openClipTarget(old);
  if (!target) return [];
  switch (target.kind) {
    case "copy":
      return [[target.name, entry]];
    case "transpose":
      return [[target.name, exchanged(entry)]];
    case "rows": {
      const parts = rows(entry, target.names.length);
      if (parts) return parts.map((part, i) => [target.names[i]!, part]);
      const rule = `${listed([old])} must hold the rows of query, key and value`;
      throw new ModelError(
        entry.file,
        `${rule}, got [${entry.shape.slice(0, 8).join(", ")}]. Download it again.`,
      );
    }
    default:
      return target satisfies never;
  }
}

/** Tensors of no use for generating: training's own, and what follows from a config. */
const knownExtras =
  /^model_ema\.|^(log_)?(betas|alphas_cumprod|sqrt_|one_minus|posterior_|logvar|lvlb_weights|num_updates|decay)|^denoiser\.|^loss\.|(^|\.)(position_ids|logit_scale|attn_mask|null_token)$|^(v_pred|ztsnr|edm_mean|edm_std)$|^edm_vpred\./;

/** Of the last of ViT-H's layers and its projection Stable Diffusion 2 makes no use. */
const unusedOfClip = /(^|\.)(text_projection(\.weight)?|transformer\.resblocks\.\d+\..+)$/;

/** The tensors of a file that belong to none of these parts. */
export function skippedTensors(
  file: WeightSet,
  parts: readonly WeightSet[],
): { known: string[]; unknown: string[] } {
  const used = new Set(parts.flatMap(({ tensors }) => [...tensors.values()].map(({ offset }) => offset)));
  const skipped: { known: string[]; unknown: string[] } = { known: [], unknown: [] };
  for (const [name, { offset, length }] of file.tensors) {
    if (length > 0 && used.has(offset)) continue;
    skipped[knownExtras.test(name) || unusedOfClip.test(name) ? "known" : "unknown"].push(name);
  }
  return skipped;
}
