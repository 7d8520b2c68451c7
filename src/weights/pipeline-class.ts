/**
 * @file The pipeline classes that model_index.json may name, and the family of models that each belongs to. Diffusers
 * writes the class that a folder was saved from: the same components may have three class names.
 */

import { ModelError } from "../errors.js";
import type { ModelIndex } from "./index-file.js";

/** Two text encoders and size conditions (SDXL, KOALA, SSD-1B), or one text encoder (Stable Diffusion 1 and 2). */
export type Family = "sdxl" | "sd";

const families: Readonly<Record<string, Family>> = {
  StableDiffusionXLPipeline: "sdxl",
  StableDiffusionXLImg2ImgPipeline: "sdxl",
  StableDiffusionXLInpaintPipeline: "sdxl",
  StableDiffusionPipeline: "sd",
  StableDiffusionImg2ImgPipeline: "sd",
  StableDiffusionInpaintPipeline: "sd",
  StableDiffusionXLControlNetPipeline: "sdxl",
  StableDiffusionXLControlNetImg2ImgPipeline: "sdxl",
  StableDiffusionXLControlNetInpaintPipeline: "sdxl",
  StableDiffusionControlNetPipeline: "sd",
  StableDiffusionControlNetImg2ImgPipeline: "sd",
  StableDiffusionControlNetInpaintPipeline: "sd",
  // The older of two classes for inpainting, which has the components of the plain model.
  StableDiffusionInpaintPipelineLegacy: "sd",
};

/** Why a class is not supported, and the remedy; the first pattern that matches is used. */
const remedies: readonly (readonly [RegExp, string])[] = [
  [/ControlNet|T2I|Adapter/, "Its control network is not supported: use the model that it was trained for."],
  [
    /PAG/,
    "Perturbed attention guidance is not supported. To open the model without it, write the class without PAG there.",
  ],
  [
    /^LatentConsistencyModel/,
    "Use an LCM LoRA over a plain model instead: --lora latent-consistency/lcm-lora-sdxl.",
  ],
  [
    /InstructPix2Pix|Depth2Img|Upscale|ImageVariation|UnCLIP|Unclip|GLIGEN/,
    "Its U-Net takes inputs that are not supported: use KOALA, SDXL or Stable Diffusion 1 or 2.",
  ],
  [
    /^(Onnx|OV|Flax)?StableDiffusion(?!3)/,
    "If its components are those of SDXL or of Stable Diffusion 1 or 2, write one of these classes there.",
  ],
];

const otherwise = "Use KOALA, SDXL or Stable Diffusion 1 or 2.";

/** The family of a model by the class that its model_index.json names; ModelError for any other class. */
function familyOf(className: string): Family {
  const family = Object.hasOwn(families, className) ? families[className] : undefined;
  if (family) return family;
  const rule =
    "_class_name: must be StableDiffusionXLPipeline or StableDiffusionPipeline, or Img2Img or Inpaint of them";
  const remedy = remedies.find(([pattern]) => pattern.test(className))?.[1] ?? otherwise;
  throw new ModelError("model_index.json", `${rule}, got ${JSON.stringify(className)}. ${remedy}`);
}

/** The family of a model_index.json. ModelError for other classes, and for settings that are not supported. */
export function familyOfIndex({ className, settings }: Pick<ModelIndex, "className" | "settings">): Family {
  const family = familyOf(className);
  const { requires_aesthetics_score: score } = settings;
  if (score !== true) return family;
  const rule = "requires_aesthetics_score: must be false, got true";
  const remedy = "This is SDXL's refiner, which is not supported: use the base model by itself.";
  throw new ModelError("model_index.json", `${rule}. ${remedy}`);
}

/** The inputs besides the latents of U-Nets with this number of input channels. */
const kinds: Readonly<Record<number, string>> = {
  5: "These are depth-to-image's, which also reads a depth map",
  7: "These are an upscaler's, which also reads a small image",
  8: "These are InstructPix2Pix's, which also reads an image",
  9: "These are inpainting's, which also reads a mask and the masked image",
};

/** The problem and remedy of a U-Net whose channels are not the autoencoder's. */
export function channelProblem(field: "in_channels" | "out_channels", got: number, expected: number): string {
  const rule = `${field}: must be ${expected}, the autoencoder's latent_channels, got ${got}`;
  const kind = field === "in_channels" ? kinds[got] : undefined;
  const plain = "the plain model does image-to-image and inpainting too";
  return kind
    ? `${rule}. ${kind}: use a model of ${expected} channels; ${plain}.`
    : `${rule}. Use another U-Net.`;
}
