/**
 * @file The safety checker of Stable Diffusion folders, Diffusers' `StableDiffusionSafetyChecker`: CLIP's vision tower, whose
 * embedding of an image is compared with 17 concepts and 3 special ones, each with a threshold in its weights.
 *
 * Weight paths are the published ones. B images, D width of an embedding.
 */

import { div, input, matmul, mul, sqrt, sub, sum } from "../tensor/operations.js";
import type { Params } from "../tensor/params.js";
import type { Tensor } from "../tensor/tensor.js";
import { type ClipVisionConfig, clipVision, projectImage } from "./clip-vision.js";

/** How many concepts and special concepts there are: fixed in Diffusers' class. */
const [concepts, specialConcepts] = [17, 3];

/** Images of one run. */
export const checkedAtOnce = 8;

/**
 * `image_embeds` [B, D]; `concepts` [B, 17] and `special` [B, 3]: by how much the cosine of an image and a concept is over
 * that concept's threshold.
 */
export function safetyCheckerTrace(c: ClipVisionConfig): (p: Params) => Record<string, Tensor> {
  return (p) => {
    const pixels = input("pixel_values", [{ B: checkedAtOnce }, 3, c.imageSize, c.imageSize]);
    const pooled = clipVision(p.at("vision_model.vision_model"), c, pixels);
    const embeds = projectImage(p.at("visual_projection"), c, pooled);
    const over = (name: string, count: number) =>
      sub(
        matmul(normalized(embeds), normalized(p.get(name, [count, c.projection])), { transposeB: true }),
        p.get(`${name}_weights`, [count]),
      );
    return {
      image_embeds: embeds,
      concepts: over("concept_embeds", concepts),
      special: over("special_care_embeds", specialConcepts),
    };
  };
}

/** Rows of length 1. x: [N, D] */
const normalized = (x: Tensor): Tensor => div(x, sqrt(sum(mul(x, x), [1])));

/** The scores of one image, as Diffusers computes them; above 0 is flagged. */
export type SafetyScores = {
  flagged: boolean;
  concepts: readonly number[];
  special: readonly number[];
};

/**
 * The scores of an image by how far its cosines are over the thresholds. A special concept adds 0.01 to all scores after
 * it. Scores are rounded to three decimals before they are compared with 0, so that 0.0004 flags nothing.
 */
export function safetyScores(concepts: ArrayLike<number>, special: ArrayLike<number>): SafetyScores {
  let adjustment = 0;
  const specialScores = Array.from(special, (over) => {
    const score = rounded(over + adjustment);
    if (score > 0) adjustment = 0.01;
    return score;
  });
  const scores = Array.from(concepts, (over) => rounded(over + adjustment));
  return { flagged: scores.some((score) => score > 0), concepts: scores, special: specialScores };
}

/** To three decimals in float32, half to even, as NumPy rounds. */
function rounded(score: number): number {
  const scaled = Math.fround(Math.fround(score) * 1000);
  const below = Math.floor(scaled);
  const rest = scaled - below;
  const whole = rest > 0.5 || (rest === 0.5 && below % 2 !== 0) ? below + 1 : below;
  return whole / 1000;
}
