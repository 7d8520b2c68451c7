/** @file What one request may ask for. Generous for one person's machine; every one can be set when serving. */

import type { Limits } from "./schemas.js";

export const defaultLimits: Limits = {
  /** Two images in base64 fit. */
  bodyBytes: 16 * 2 ** 20,
  pixels: 2048 * 2048,
  steps: 150,
  count: 16,
  queue: 64,
};

/** Of a body that carries no image: two of the longest texts fit, with every character escaped. */
export const plainBodyBytes = 2 ** 18;

/** So many bodies of the largest size are under way at once, or more of smaller ones: with images, and without. */
export const bodiesAtOnce = 4;
export const plainBodiesAtOnce = 128;

/** Jobs that are listed: each repeats its prompts, which may be long. */
export const mostListed = 200;

/** Bytes of images that waiting jobs begin with, all together. */
export const mostWaitingBytes = 2 ** 28;

/** Pixels of an image that is sent. A PNG of a few kB can hold more than a machine has memory for. */
export const mostInputPixels = 2 ** 24;

/** Jobs that one stream of events follows: so many ids fit into an address. */
export const mostFollowed = 100;
