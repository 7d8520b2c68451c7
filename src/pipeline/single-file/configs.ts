/**
 * @file The configs of published families, for single files, which have none: what shapes do not show. Facts from the
 * configs of the published folders (`models/known.ts` has those of the networks), in a layout of our own.
 */

import type { JsonObject } from "../../files/json.js";
import type { ModelFamily } from "../../models/family.js";
import type { UnetTopology } from "../../models/infer-unet.js";
import { knownTextEncoders, knownVae } from "../../models/known.js";
import type { TextEncoderName } from "./parts.js";

/** What distinguishes the kinds of models for which configs are generated. */
export type ModelKind = "sd1" | "sd2" | "sdxl" | "playground";

/** The kind of a family; those without published configs have those of the kind that they were made of. */
export function kindOfFamily({ pipeline }: ModelFamily, { linearProjection }: UnetTopology): ModelKind {
  if (pipeline === "StableDiffusionXLPipeline") return "sdxl";
  return linearProjection ? "sd2" : "sd1";
}

const betas = {
  beta_end: 0.012,
  beta_schedule: "scaled_linear",
  beta_start: 0.00085,
  num_train_timesteps: 1000,
  trained_betas: null,
};

/** As in `stable-diffusion-v1-5`, `stable-diffusion-2-1`, `stable-diffusion-xl-base-1.0`, `playground-v2.5-1024px-aesthetic`. */
export const schedulerConfigs: Readonly<Record<ModelKind, JsonObject>> = {
  sd1: {
    _class_name: "PNDMScheduler",
    ...betas,
    set_alpha_to_one: false,
    skip_prk_steps: true,
    steps_offset: 1,
  },
  sd2: {
    _class_name: "DDIMScheduler",
    ...betas,
    clip_sample: false,
    prediction_type: "epsilon",
    set_alpha_to_one: false,
    steps_offset: 1,
  },
  sdxl: {
    _class_name: "EulerDiscreteScheduler",
    ...betas,
    interpolation_type: "linear",
    prediction_type: "epsilon",
    steps_offset: 1,
    timestep_spacing: "leading",
    use_karras_sigmas: false,
  },
  playground: {
    _class_name: "EDMDPMSolverMultistepScheduler",
    algorithm_type: "dpmsolver++",
    final_sigmas_type: "zero",
    lower_order_final: true,
    num_train_timesteps: 1000,
    prediction_type: "epsilon",
    rho: 7,
    sigma_data: 0.5,
    sigma_max: 80,
    sigma_min: 0.002,
    solver_order: 2,
    solver_type: "midpoint",
  },
};

/** Sides of the latents that each kind was trained at. */
export const sampleSizes: Readonly<Record<ModelKind, number>> = {
  sd1: 64,
  sd2: 64,
  sdxl: 128,
  playground: 128,
};

/** Sides of the images that each autoencoder's config names; its tiles are of that size. */
const imageSizes: Readonly<Record<ModelKind, number>> = { sd1: 512, sd2: 768, sdxl: 1024, playground: 1024 };

const scalingFactors: Readonly<Record<ModelKind, number>> = {
  sd1: 0.18215,
  sd2: 0.18215,
  sdxl: 0.13025,
  playground: 0.5,
};

/** The autoencoder's config, of which shapes may show more. */
export const vaeJson = (kind: ModelKind, inferred: JsonObject = {}): JsonObject => ({
  _class_name: "AutoencoderKL",
  ...knownVae,
  latent_channels: 4,
  norm_num_groups: 32,
  ...inferred,
  sample_size: imageSizes[kind],
  scaling_factor: scalingFactors[kind],
  // SDXL's own overflows in float16.
  ...(kind !== "sd1" && kind !== "sd2" && { force_upcast: true }),
});

const encoders: Readonly<
  Record<ModelKind, Partial<Record<TextEncoderName, keyof typeof knownTextEncoders>>>
> = {
  sd1: { text_encoder: "CLIP ViT-L" },
  sd2: { text_encoder: "OpenCLIP ViT-H" },
  sdxl: { text_encoder: "CLIP ViT-L", text_encoder_2: "OpenCLIP ViT-bigG" },
  playground: { text_encoder: "CLIP ViT-L", text_encoder_2: "OpenCLIP ViT-bigG" },
};

/** Layers of ViT-H that Stable Diffusion 2 uses: all but the last. Files converted from a folder have only these. */
const sd2Layers = 23;

/** A text encoder's config, of which shapes may show more. */
export function clipJson(kind: ModelKind, name: TextEncoderName, inferred: JsonObject = {}): JsonObject {
  const known = knownTextEncoders[encoders[kind][name] ?? "CLIP ViT-L"];
  const json: JsonObject = {
    architectures: [textEncoderClasses[name]],
    bos_token_id: 0,
    eos_token_id: 2,
    layer_norm_eps: 1e-5,
    max_position_embeddings: 77,
    model_type: "clip_text_model",
    num_hidden_layers: 12,
    pad_token_id: 1,
    projection_dim: 768,
    vocab_size: 49408,
    ...known.config,
    ...inferred,
  };
  const layers = Math.min(sd2Layers, Number(json.num_hidden_layers));
  return kind === "sd2" ? { ...json, num_hidden_layers: layers } : json;
}

/** The classes of the text encoders, of which only SDXL's second one is read projected. */
export const textEncoderClasses: Readonly<Record<TextEncoderName, string>> = {
  text_encoder: "CLIPTextModel",
  text_encoder_2: "CLIPTextModelWithProjection",
};
