/** @file From the last latents to images: each decoded, all checked for safety, with their metadata. */

import { Cancelled } from "../errors.js";
import { type RgbImage, toRgbImage } from "../image/pixels.js";
import type { Component } from "./component.js";
import { GeneratedImage } from "./generated-image.js";
import type { LatentShape } from "./latents.js";
import type { ImageMetadata } from "./metadata/schema.js";
import type { CheckedRequest } from "./request.js";
import type { SafeImage, SafetyChecker } from "./safety-checker.js";
import { flaggedWarning, type SafetyRule } from "./safety-rules.js";

type Finishing = {
  /** [1, C, h, w] -> [3, 8h, 8w] in about -1..1; in tiles of so many pixels */
  decode: (latents: Float32Array, h: number, w: number, tile: number | undefined) => Promise<Float32Array>;
  /** Of the i-th image, which was flagged or not. */
  metadata: (index: number, flagged: boolean) => ImageMetadata;
  checker: SafetyChecker | undefined;
  /** Frees other networks for this one. */
  makeRoom: (next: Component) => Promise<void>;
};

/** latents: [B, C, h, w]. FlaggedImageError, Cancelled. */
export async function finishImages(
  latents: Float32Array,
  [batch, channels, h, w]: LatentShape,
  request: CheckedRequest,
  { decode, metadata, checker, makeRoom }: Finishing,
): Promise<GeneratedImage[]> {
  const size = channels * h * w;
  const decoded: RgbImage[] = [];
  for (let i = 0; i < batch; i++) {
    if (request.signal?.aborted) throw new Cancelled();
    const one = latents.subarray(i * size, (i + 1) * size);
    const image = await decode(one, h, w, request.vaeTiling);
    decoded.push(toRgbImage(image, request.width, request.height));
  }
  const safe = await safeImages(decoded, request.safety, { checker, makeRoom });
  const images = safe.map(
    ({ pixels, flagged }, i) => new GeneratedImage(pixels, request.seeds?.[i], metadata(i, flagged)),
  );
  // After the images, which have their own warnings.
  const flagged = safe.filter((image) => image.flagged).length;
  if (flagged > 0) request.warnings.add(flaggedWarning(flagged, batch));
  return images;
}

async function safeImages(
  images: readonly RgbImage[],
  rule: SafetyRule,
  { checker, makeRoom }: Pick<Finishing, "checker" | "makeRoom">,
): Promise<SafeImage[]> {
  if (rule === "off" || !checker) return images.map((pixels) => ({ pixels, flagged: false }));
  await makeRoom(checker.component);
  const { applySafety } = await import("./safety-checker.js"); // here, as most models have none
  return applySafety(images, rule, checker);
}
