/** @file What `generate` and `stream` give, and what is computed before the first step. */

import type { RgbImage } from "../image/pixels.js";
import type { AttentionMaps } from "./attention/maps.js";
import type { PromptTokens } from "./attention/words.js";
import type { CallConditioning, Conditions } from "./conditioning.js";
import type { DenoiseStep } from "./denoise.js";
import type { GeneratedImage } from "./generated-image.js";
import type { InpaintState, LatentShape } from "./latents.js";
import type { CheckedRequest } from "./request.js";

/** A denoising step; `preview` makes small images of the clean latents that it predicts, one per image. */
export type Step = DenoiseStep & { preview: () => Promise<readonly RgbImage[]> };

/** What `generate` gives. */
export type GenerateResult = {
  /** In the order of the prompts, all of a prompt's images together; none with `outputType: "latent"`. */
  images: readonly GeneratedImage[];
  /** [batch, 4, height / 8, width / 8], as the last step left them. */
  latents: Float32Array;
  /** The seed of each image, where seeds and not generators were given. */
  seeds: readonly bigint[] | undefined;
  /** What of the request was cut, changed or without effect; `images[i].warnings` has those about that image. */
  warnings: readonly string[];
  /** With `attentionMaps`: where each word of the prompt went, of each image in the order of `images`. */
  attentionMaps?: readonly AttentionMaps[];
};

/**
 * A request with everything that is computed before the first step.
 *
 * @internal
 */
export type Prepared = {
  request: CheckedRequest;
  /** What the prompts and sizes were encoded to. */
  conditions: Conditions;
  conditioning: CallConditioning;
  timesteps: readonly number[];
  latents: Float32Array;
  /** Inpainting: the known region, restored after every step. */
  inpaint: InpaintState | undefined;
  shape: LatentShape;
  /** With `attentionMaps`: of each prompt. */
  words: readonly PromptTokens[] | undefined;
};
