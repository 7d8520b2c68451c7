/** @file Limits of requests, images and streams. Those of `defaultLimits` suit one person's machine and are options of the server. */

import type { Limits } from "./model-schemas.js";

export const defaultLimits: Limits = {
  /** Two images in base64 fit. */
  bodyBytes: 16 * 2 ** 20,
  pixels: 2048 * 2048,
  steps: 150,
  count: 16,
  queue: 64,
};

/** Largest body without an image: two of the longest texts fit, with every character escaped. */
export const plainBodyBytes = 2 ** 18;

/** Bodies of the largest size that are read at once, or more smaller ones: with images, and without. */
export const bodiesAtOnce = 4;
export const plainBodiesAtOnce = 128;

/** Jobs in a list: each repeats its prompts, which may be long. */
export const mostListed = 200;

/** Bytes of the init images and masks of all waiting jobs. */
export const mostWaitingBytes = 2 ** 28;

/** Pixels of an image of a request. A PNG of a few kB can hold more than a machine has memory for. */
export const mostInputPixels = 2 ** 24;

/** Jobs of one stream of events: as many ids as fit into a URL. */
export const mostFollowed = 100;
