/**
 * @file What Diffusers 0.42.1 takes where a request leaves an argument out: one table for its six pipelines, by the
 * model's family and the kind of request. `model-defaults.ts` alone reads it.
 */

import type { Family } from "../weights/pipeline-class.js";
import type { RequestKind } from "./request-kind.js";

/** `strength` is the share of the steps that is run; noise alone is denoised from the first step on. */
type DiffusersDefaults = { steps: number; guidanceScale: number; strength: number };

/** From the signatures of `__call__`. */
export const diffusersDefaults: Readonly<Record<Family, Readonly<Record<RequestKind, DiffusersDefaults>>>> = {
  sdxl: {
    textToImage: { steps: 50, guidanceScale: 5, strength: 1 },
    imageToImage: { steps: 50, guidanceScale: 5, strength: 0.3 },
    inpainting: { steps: 50, guidanceScale: 7.5, strength: 0.9999 },
  },
  sd: {
    textToImage: { steps: 50, guidanceScale: 7.5, strength: 1 },
    imageToImage: { steps: 50, guidanceScale: 7.5, strength: 0.8 },
    inpainting: { steps: 50, guidanceScale: 7.5, strength: 1 },
  },
};
