/** @file The caption of an example, from what its data set holds for it: a text, or a list of which one is drawn. */

import { below, seeded } from "./seeded.js";

export type Caption = { readonly caption: string } | { readonly problem: string };

/** The key and column of a caption, for the reason why there is none, and the seed of a draw. */
export type CaptionContext = {
  readonly key: string;
  readonly column?: string | undefined;
  readonly seed?: number | undefined;
};

/**
 * Of a list one caption is drawn by seed and key. Diffusers' `train_text_to_image_sdxl.py` draws one for each image too
 * (`encode_prompt`), once, before its embeddings are cached.
 */
export function captionOf(value: unknown, { key, column, seed = 0 }: CaptionContext): Caption {
  const texts: readonly unknown[] = Array.isArray(value) ? value : [value];
  const given = texts.filter((one) => one !== undefined && one !== null);
  const other = given.find((one) => typeof one !== "string");
  if (other !== undefined) return { problem: `has a caption that is not text but ${typeof other}` };
  if (given.length === 0)
    return { problem: `has no caption${column === undefined ? "" : ` in "${column}"`}` };
  const written = given.map(String).filter((text) => text.trim() !== "");
  if (written.length === 0) return { problem: "has a blank caption" };
  const chosen = written.length === 1 ? 0 : below(written.length, seeded(seed, "caption", key));
  return { caption: written[chosen]! };
}

/** Whether a value is of the kind that captions are: a text, or a list of texts. */
export function isCaption(value: unknown): boolean {
  const texts: readonly unknown[] = Array.isArray(value) ? value : [value];
  return texts.every((one) => one === null || typeof one === "string");
}
