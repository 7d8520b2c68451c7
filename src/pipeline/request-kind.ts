/** @file The kinds of requests: those that Diffusers has a pipeline of its own for. */

/** By what a request begins with: noise, an image, or an image and a mask. */
export type RequestKind = "textToImage" | "imageToImage" | "inpainting";

export function requestKind({ image, mask }: { image?: unknown; mask?: unknown }): RequestKind {
  if (image === undefined) return "textToImage";
  return mask === undefined ? "imageToImage" : "inpainting";
}
