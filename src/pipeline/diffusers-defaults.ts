/**
 * @file What Diffusers 0.42.1 takes where a request leaves an argument out: one table for its six pipelines, by the
 * model's family and the kind of request. The library, the commands and the server read it; none has its own figures.
 */

import type { Family } from "../weights/pipeline-class.js";

/** By what a request begins with: noise, an image, or an image and a mask. */
export type Kind = "textToImage" | "imageToImage" | "inpainting";

/** `strength` is the share of the steps that is run; noise alone is denoised from the first step on. */
export type KindDefaults = { steps: number; guidanceScale: number; strength: number };

/** From the signatures of `__call__`. */
export const diffusersDefaults: Readonly<Record<Family, Readonly<Record<Kind, KindDefaults>>>> = {
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

/** The kind of a request: what Diffusers has a pipeline of its own for. */
export function requestKind({ image, mask }: { image?: unknown; mask?: unknown }): Kind {
  if (image === undefined) return "textToImage";
  return mask === undefined ? "imageToImage" : "inpainting";
}
