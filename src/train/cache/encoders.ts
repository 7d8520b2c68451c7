/** @file Encodes a caption by the text encoders, and an image by the autoencoder, bit for bit as the pipeline does. */

import type { ImageSize } from "../../image/pixels.js";
import type { Components } from "../../pipeline/components.js";
import { encodePixels } from "../../pipeline/run-autoencoder.js";
import { encodeTexts, promptTexts, sideBySide, stateRules } from "../../pipeline/text-encoding.js";
import { Warnings } from "../../pipeline/warnings.js";
import type { Row } from "./shards.js";

/**
 * `text` [N, D] and, of SDXL's second encoder, `pooled` [P]: SDXL reads the last states but one of both encoders
 * side by side, SD the last, normalised. `onCut` is called when tokens did not fit.
 */
export async function encodeCaption(
  { textEncoders, family }: Components,
  caption: string,
  onCut: () => void,
): Promise<Row> {
  const [first, second] = textEncoders;
  const rule = stateRules[family];
  // One caption a run: the result must not depend on which captions happen to be encoded together.
  const texts = promptTexts(`caption "${caption}"`, [caption]);
  const warnings = new Warnings(onCut);
  const a = await encodeTexts(first!, texts, { rule, warnings });
  if (!second) return { text: { data: a.plain[0]!, shape: [a.tokens, a.width] } };
  const b = await encodeTexts(second, texts, { rule, warnings });
  const text = sideBySide(a, a.plain[0]!, b, b.plain[0]!);
  const pooled = b.pooled[0]!;
  return {
    text: { data: text, shape: [a.tokens, a.width + b.width] },
    pooled: { data: pooled, shape: [pooled.length] },
  };
}

/** pixels: [3, height, width] in -1..1 -> `encoded`, as the autoencoder gives it: not sampled, not scaled. */
export async function encodeExample(
  { vae }: Components,
  { key, pixels, size }: { key: string; pixels: Float32Array; size: ImageSize },
): Promise<Row> {
  const encoded = await encodePixels(vae, { data: pixels, ...size }, { what: `"${key}"` });
  const { data, channels, height, width } = encoded;
  return { encoded: { data, shape: [channels, height, width] } };
}

/** Frees the text encoders, or the autoencoder. */
export async function release(
  { textEncoders, vae }: Components,
  which: "textEncoders" | "vae",
): Promise<void> {
  const parts = which === "vae" ? [vae.component] : textEncoders.map(({ component }) => component);
  for (const part of parts) await part.release();
}
