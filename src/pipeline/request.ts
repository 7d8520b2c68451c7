/** @file The request for an image: the arguments of Diffusers' pipelines in camelCase, and a few of our own. */

import type { NoiseSource } from "../diffusion/random.js";
import type { Seed } from "../diffusion/seed.js";
import type { ImageInput } from "../image/codec.js";
import type { ComposedPrompt } from "../text/a1111/composition.js";
import type { LoraTag } from "../text/a1111/extra-networks.js";
import type { Wildcards } from "../text/dynamic-prompts.js";
import type { Emphasis, LongPrompts, PromptSyntax } from "../text/prompt-rules.js";
import type { OptionNames } from "../validation.js";
import type { SafetyRule } from "./safety-rules.js";
import type { Warnings } from "./warnings.js";

/** A size or a corner in pixels, as SDXL's conditions have it. */
export type Size2 = readonly [height: number, width: number];

/**
 * What to generate: the arguments of Diffusers' `__call__`, and `seed`, `rng`, `vaeTiling`, `ignoreMemory`, `signal`,
 * `onStep`, `onWarning` and `onNotice` of our own. "The model's default" is that of its `koala.json` or its model card, else Diffusers'.
 */
export type GenerateRequest = {
  /** What to generate: one text, or one for each group of images. `longPrompts` says what becomes of long ones. */
  prompt: string | readonly string[];
  /** SDXL models: the text for the second text encoder, one or one per prompt. `prompt` if left out. */
  prompt2?: string | readonly string[];
  /**
   * What not to generate, one text or one per prompt; of effect with a `guidanceScale` above 1. None if left out, which
   * some SDXL models treat other than "" (`force_zeros_for_empty_prompt`).
   */
  negativePrompt?: string | readonly string[];
  /** SDXL models: the negative prompt of the second text encoder. `negativePrompt` if left out. */
  negativePrompt2?: string | readonly string[];
  /**
   * How `prompt` and `negativePrompt` are read. "none": as plain text, as in Diffusers. "a1111": by AUTOMATIC1111's grammar:
   * weights, prompt editing, AND, BREAK, LoRAs and textual inversions by name (docs/prompts.md). Its rules then hold in what
   * else differs: an empty negative prompt of SDXL models is zeros, `clipSkip` is of both prompts, and a text with a textual
   * inversion is pooled at its end. "none" if left out.
   */
  promptSyntax?: PromptSyntax;
  /**
   * What becomes of text beyond the text encoder's tokens (CLIP's 77). "cut": it is left out, with a warning. "chunks": the
   * encoder reads it in further chunks of as many. If left out "cut", as in Diffusers, and with A1111's syntax "chunks".
   */
  longPrompts?: LongPrompts;
  /**
   * Fills the shorter of prompt and negative prompt up with empty chunks, as A1111's option of that name does, instead of
   * running the U-Net for each by itself. False if left out.
   */
  padConditions?: boolean;
  /**
   * With A1111's syntax: "original" restores the mean of the embeddings after they were weighted, "noNorm" leaves them.
   * "original", A1111's default, if left out.
   */
  emphasis?: Emphasis;
  /**
   * Expands `{a|b}` and `__wildcard__` in the prompts before all else, by each image's seed (docs/prompts.md). False if left
   * out: braces are letters.
   */
  dynamicPrompts?: boolean;
  /** With `dynamicPrompts`: the lines of each wildcard, by its name; `readWildcards` reads a folder of them. */
  wildcards?: Wildcards;
  /** What `prompt` was expanded from, one text or one per prompt. Only recorded in the image. */
  promptTemplate?: string | readonly string[];
  /** The same of `negativePrompt`. */
  negativePromptTemplate?: string | readonly string[];
  /** Pixels, 8 to 8192, a multiple of 8. The image's own height with `image`, else the model's default. */
  height?: number;
  /** Pixels, 8 to 8192, a multiple of 8. The image's own width with `image`, else the model's default. */
  width?: number;
  /** Denoising steps, 1 to 1000. The model's default if left out; of no effect with `timesteps` or `sigmas`. */
  numInferenceSteps?: number;
  /** The timesteps to run, descending from below 1000, in place of the scheduler's own spacing. */
  timesteps?: readonly number[];
  /** The noise levels to run, descending, in place of the scheduler's own. Not together with `timesteps`. */
  sigmas?: readonly number[];
  /** SDXL models: stops after this share of the schedule, above 0 to 1, leaving noise in. 1 if left out. */
  denoisingEnd?: number;
  /**
   * How closely to follow the prompt: the classifier-free guidance scale, a finite number, mostly 1 to 15. Above 1 each
   * step runs the U-Net for the negative prompt too. The model's default if left out.
   */
  guidanceScale?: number;
  /** How far guidance is rescaled against overexposure, 0 to 1 (arXiv 2305.08891, section 3.4). 0 if left out. */
  guidanceRescale?: number;
  /** Noise added in each step by DDIM (1 is DDPM's) and TCD, 0 to 1. 0 if left out, as in all of Diffusers' pipelines. */
  eta?: number;
  /** The last layers of the text encoders to leave out, 0 to their number less one. 0 if left out. */
  clipSkip?: number;
  /** Images of each prompt, 1 to 1024. 1 if left out. */
  numImagesPerPrompt?: number;
  /** The source of noise: one for the whole batch, or one per image. Takes precedence over `seed`. */
  generator?: NoiseSource | readonly NoiseSource[];
  /**
   * A whole number of 64 bits. Image i of the batch is generated from seed + i, or from the i-th of a list, exactly as
   * if it were generated alone. -1, or left out, draws one; other negative seeds mean what they mean to PyTorch, 2^64
   * more.
   */
  seed?: Seed | readonly Seed[];
  /** Whose `randn` a seed means: PyTorch's on the CPU, or on a CUDA device. "cpu" if left out. */
  rng?: "cpu" | "cuda";
  /** Starts from these instead of noise: [batch, 4, height / 8, width / 8], before scaling by the scheduler. */
  latents?: Float32Array;
  /**
   * Image-to-image: the image to begin with, as a path, a file's bytes or pixels. The result has its size, rounded down
   * to a multiple of 8, unless width and height say another, to which it is stretched. A Float32Array is latents that
   * are scaled already, of one image or of the batch.
   */
  image?: ImageInput | Float32Array;
  /** Inpainting: generates anew where this image is white, and keeps `image` where it is black. */
  mask?: ImageInput;
  /**
   * How far to move away from `image`, 0 to 1: the share of the steps that is run. If left out 0.3 for SDXL models and
   * 0.8 for Stable Diffusion, with a mask 0.9999 and 1.
   */
  strength?: number;
  /**
   * SDXL models: takes `image` as denoised up to this share of the schedule, above 0 and below `denoisingEnd`, and adds
   * no noise. If left out, `strength` decides.
   */
  denoisingStart?: number;
  /** SDXL's size conditions, in pixels: the size of the image that was cropped. `[height, width]` if left out. */
  originalSize?: Size2;
  /** SDXL's: the top and left of the crop, in pixels. `[0, 0]` if left out. */
  cropsCoordsTopLeft?: Size2;
  /** SDXL's: the size of the result. `[height, width]` if left out. */
  targetSize?: Size2;
  /** `originalSize` of the negative prompt; `originalSize` if left out. */
  negativeOriginalSize?: Size2;
  /** `cropsCoordsTopLeft` of the negative prompt; of effect without `image` alone. `[0, 0]` if left out. */
  negativeCropsCoordsTopLeft?: Size2;
  /** `targetSize` of the negative prompt; `targetSize` if left out. */
  negativeTargetSize?: Size2;
  /**
   * Encodes and decodes images in tiles that overlap and are blended, as Diffusers' `vae.enable_tiling()`: less memory,
   * and another image, because the autoencoder's norms and attention see one tile at a time. A number is a tile's side in
   * pixels (Diffusers' `tile_sample_min_size`), a multiple of 32, of 64 for `AutoencoderTiny`; true is the autoencoder's
   * own, the `sample_size` of its config or 512. If left out, it is on where decoding would not fit into memory
   * otherwise, with a warning; false never.
   */
  vaeTiling?: boolean | number;
  /** Generates even if it is predicted not to fit into memory. False if left out. */
  ignoreMemory?: boolean;
  /**
   * What becomes of an image that the model's safety checker flags: "blur" blurs it beyond recognition, with a warning,
   * "refuse" throws a `FlaggedImageError` and gives none of the images, "off" checks nothing. If left out "blur" where the
   * model has a checker, and "off" where it has none. Previews are blurred unless it is off; latents are as they are.
   */
  safety?: SafetyRule;
  /**
   * Keeps where each word of the prompt went (Tang et al. 2022): the cross-attention of every layer, for `attentionMaps` of
   * the result. The images are the same with and without. "steps" keeps it for each step besides their sum, which takes
   * that many times the memory. Not for prompts that are composed by AND or change during the run. False if left out.
   */
  attentionMaps?: boolean | "steps";
  /** "latent" leaves out the decoding, and the result has no images. "image" if left out. */
  outputType?: "image" | "latent";
  /** Stops the generation, with a `Cancelled` error, no later than after the running step. */
  signal?: AbortSignal;
  /** Called after each step; `index` counts from 0. `stream` gives more of each step. */
  onStep?: (step: { index: number; total: number; timestep: number }) => void;
  /** Called with what of the request is cut, changed or without effect; `console.warn` if left out. */
  onWarning?: (message: string) => void;
  /**
   * Called with one sentence of what takes time and changes no image: that a graphics device compiles its programs, before
   * the first run at a size. Nothing is said if left out; `onWarning` gets what does change images.
   */
  onNotice?: (message: string) => void;
};

export const requestNames: OptionNames<GenerateRequest> = {
  prompt: true,
  prompt2: true,
  negativePrompt: true,
  negativePrompt2: true,
  promptSyntax: true,
  longPrompts: true,
  padConditions: true,
  emphasis: true,
  dynamicPrompts: true,
  wildcards: true,
  promptTemplate: true,
  negativePromptTemplate: true,
  height: true,
  width: true,
  numInferenceSteps: true,
  timesteps: true,
  sigmas: true,
  denoisingEnd: true,
  guidanceScale: true,
  guidanceRescale: true,
  eta: true,
  clipSkip: true,
  numImagesPerPrompt: true,
  generator: true,
  seed: true,
  rng: true,
  latents: true,
  image: true,
  mask: true,
  strength: true,
  denoisingStart: true,
  originalSize: true,
  cropsCoordsTopLeft: true,
  targetSize: true,
  negativeOriginalSize: true,
  negativeCropsCoordsTopLeft: true,
  negativeTargetSize: true,
  vaeTiling: true,
  ignoreMemory: true,
  safety: true,
  attentionMaps: true,
  outputType: true,
  signal: true,
  onStep: true,
  onWarning: true,
  onNotice: true,
};

/** A request that was checked, before its images are read: its size is open where it is an image's own. */
export type AcceptedRequest = Omit<GenerateRequest, "width" | "height"> & {
  prompts: readonly string[];
  /** Absent when no negative prompt was given at all. */
  negativePrompts: readonly string[] | undefined;
  prompts2: readonly string[];
  negativePrompts2: readonly string[] | undefined;
  promptSyntax: PromptSyntax;
  longPrompts: LongPrompts;
  padConditions: boolean;
  emphasis: Emphasis;
  /** What each prompt is composed of; mostly itself. */
  compositions: readonly (readonly ComposedPrompt[])[];
  /** What each prompt was expanded from. */
  promptTemplates: readonly string[] | undefined;
  negativePromptTemplates: readonly string[] | undefined;
  /** The LoRAs that the prompts name. */
  loraTags: readonly LoraTag[];
  height: number | undefined;
  width: number | undefined;
  numInferenceSteps: number;
  guidanceScale: number;
  guidanceRescale: number;
  perPrompt: number;
  /** Images in the batch. */
  batch: number;
  /** Whether the U-Net runs for the negative prompt too. */
  guided: boolean;
  /** Whether the U-Net reads the guidance scale, in place of a second pass. */
  embedsGuidance: boolean;
  strength: number;
  /** "off" where the model has no safety checker. */
  safety: SafetyRule;
  attentionMaps: boolean | "steps";
  eta: number;
  generators: NoiseSource | readonly NoiseSource[];
  /** The seed of each image, where seeds and not generators were given. */
  seeds: readonly bigint[] | undefined;
  warnings: Warnings;
};

/** A request with every default filled in and every bound checked. */
export type CheckedRequest = Omit<AcceptedRequest, "vaeTiling"> & {
  height: number;
  width: number;
  /** The side of the autoencoder's tiles in pixels; undefined where the image is not cut. */
  vaeTiling: number | undefined;
};
