/** @file The U-Net's conditioning: text embeddings and size conditions, row by row, both halves of a guided batch. */

import { guidanceEmbedding } from "../diffusion/guidance-embedding.js";
import type { Values } from "../engine/engine.js";
import type { Conditioning } from "./denoise.js";
import type { CheckedRequest } from "./request.js";
import { requestKind } from "./request-kind.js";

/** The conditioning of both halves before they are joined. */
export type Embeddings = {
  prompt: Values;
  negative: Values | undefined;
  pooled: Values | undefined;
  negativePooled: Values | undefined;
  /** SDXL's size conditions: [batch, 6] */
  timeIds: Values | undefined;
  negativeTimeIds: Values | undefined;
};

/** Each row `times` times in a row, as one batch of rows of the given shape. */
export function perImage(rows: readonly Float32Array[], times: number, ...shape: number[]): Values {
  const size = shape.reduce((a, b) => a * b, 1);
  const data = new Float32Array(rows.length * times * size);
  rows.forEach((row, i) => {
    for (let k = 0; k < times; k++) data.set(row, (i * times + k) * size);
  });
  return { data, shape: [rows.length * times, ...shape] };
}

/** The unconditional half, if there is one, before the conditional half. */
export function join(e: Embeddings, guided: boolean): Conditioning {
  const both = (negative: Values | undefined, positive: Values): Values => {
    if (!guided) return positive;
    const data = new Float32Array(2 * positive.data.length);
    data.set(negative!.data as Float32Array);
    data.set(positive.data as Float32Array, positive.data.length);
    return { data, shape: [2 * positive.shape[0]!, ...positive.shape.slice(1)] };
  };
  const text = { encoder_hidden_states: both(e.negative, e.prompt) };
  if (!e.pooled || !e.timeIds) return text;
  return {
    ...text,
    text_embeds: both(e.negativePooled, e.pooled),
    time_ids: both(e.negativeTimeIds, e.timeIds),
  };
}

/** The guidance scale's embedding of every image, for U-Nets that read it: [batch, width] */
export const guidanceRows = ({ guidanceScale, batch }: CheckedRequest, width: number): Values =>
  perImage([guidanceEmbedding(guidanceScale, width)], batch, width);

/**
 * SDXL section 2.2: (height, width) of the original, of the crop's corner and of the target, and the same for the
 * unconditional half. Diffusers' text-to-image takes that half's sizes only if both are given; its image-to-image and
 * inpainting take each by itself, and never its corner.
 */
export function timeIds(request: CheckedRequest): [Float32Array, Float32Array] {
  const { height, width, cropsCoordsTopLeft: corner = [0, 0] } = request;
  const { originalSize = [height, width], targetSize = [height, width] } = request;
  const { negativeOriginalSize, negativeTargetSize, negativeCropsCoordsTopLeft } = request;
  const ids = Float32Array.of(...originalSize, ...corner, ...targetSize);
  if (requestKind(request) === "textToImage") {
    if (!negativeOriginalSize || !negativeTargetSize) {
      const rule = "has no effect without both negativeOriginalSize and negativeTargetSize.";
      warnOf({ negativeOriginalSize, negativeTargetSize, negativeCropsCoordsTopLeft }, rule, request);
      return [ids, ids];
    }
    const negativeCorner = negativeCropsCoordsTopLeft ?? [0, 0];
    return [ids, Float32Array.of(...negativeOriginalSize, ...negativeCorner, ...negativeTargetSize)];
  }
  warnOf({ negativeCropsCoordsTopLeft }, "has no effect with image: cropsCoordsTopLeft counts.", request);
  const [original, target] = [negativeOriginalSize ?? originalSize, negativeTargetSize ?? targetSize];
  return [ids, Float32Array.of(...original, ...corner, ...target)];
}

function warnOf(given: Record<string, unknown>, rule: string, { guided, warnings }: CheckedRequest): void {
  const field = Object.entries(given).find(([, value]) => value !== undefined)?.[0];
  if (guided && field) warnings.add(`${field}: ${rule}`);
}
