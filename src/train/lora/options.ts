/** @file The settings of LoRA training: types, defaults and checks. */

import { z } from "zod";
import { listed } from "../../errors.js";

export const loraNamings = ["diffusers", "kohya"] as const;
export type LoraNaming = (typeof loraNamings)[number];
export const loraDtypes = ["float32", "float16"] as const;
export type LoraDtype = (typeof loraDtypes)[number];

/** LoRA training (Hu et al. 2021, arXiv 2106.09685). Names as in PEFT's `LoraConfig`, in camelCase. */
export type LoraRequest = {
  /** Rows of A and columns of B, a whole number above 0. Default 8, of a step distillation 64. */
  rank?: number;
  /** The product of B and A counts times alpha / rank; above 0. Default: the rank. */
  alpha?: number;
  /**
   * Layers of the U-Net by the end of their names, linear ones and convolutions. Default: to_q, to_k, to_v and to_out.0 of
   * its attention, as in Diffusers' scripts; of a step distillation `stepTargets`, as in its scripts of LCM-LoRA.
   */
  targets?: readonly string[];
  /** Names of the tensors in the file. Default "diffusers", in which `alpha` is part of the file's metadata. */
  names?: LoraNaming;
  /** How the file has the numbers; training is in float32. Default "float32". */
  dtype?: LoraDtype;
};
export type LoraOptions = Required<LoraRequest>;

/** The layers of attention, and for a step distillation all that `train_lcm_distill_lora_sdxl_wds.py` adapts. */
const attentionTargets = ["to_q", "to_k", "to_v", "to_out.0"] as const;
export const stepTargets = [
  ...attentionTargets,
  ...["proj_in", "proj_out", "ff.net.0.proj", "ff.net.2"],
  ...["conv1", "conv2", "conv_shortcut", "downsamplers.0.conv", "upsamplers.0.conv", "time_emb_proj"],
] as const;

/** Of text encoders that are trained as well: the attention's, as in Diffusers' scripts. */
export const textEncoderTargets = ["q_proj", "k_proj", "v_proj", "out_proj"] as const;

const oneOf = <const T extends readonly string[]>(values: T) =>
  z.enum(values, `must be one of ${listed([...values])}`);
const texts = "must be a list of names of layers";

export const loraSchema = z.strictObject({
  rank: z.int("must be a whole number above 0").positive("must be a whole number above 0").optional(),
  alpha: z.number("must be a number above 0").positive("must be a number above 0").optional(),
  targets: z
    .preprocess(
      (given) => (typeof given === "string" ? [given] : given),
      z.array(z.string(texts).min(1, texts), texts).min(1, texts),
    )
    .optional(),
  names: oneOf(loraNamings).default("diffusers"),
  dtype: oneOf(loraDtypes).default("float32"),
} satisfies Record<keyof LoraRequest, z.ZodType>);

/** Fills in the defaults that depend on what is trained. */
export function loraOptions(
  { rank: given, alpha, targets, ...rest }: z.infer<typeof loraSchema>,
  isStepDistillation: boolean,
): LoraOptions {
  const rank = given ?? (isStepDistillation ? 64 : 8);
  const usual = isStepDistillation ? stepTargets : attentionTargets;
  return { rank, alpha: alpha ?? rank, targets: targets ?? [...usual], ...rest };
}
