/** @file Clips a predicted clean sample: clip_sample, or dynamic thresholding. */

import { InvalidRequest } from "../../errors.js";
import { f32, lerp32 } from "../arithmetic.js";
import type { SchedulerSettings } from "./config-fields.js";

/** Clips float32[batch * size] as the config says; thresholding comes before clip_sample, as in Diffusers. */
export function clipSample(clean: Float32Array, settings: SchedulerSettings, batch = 1): Float32Array {
  if (settings.thresholding) return dynamicThreshold(clean, settings, batch);
  const range = settings.clipSampleRange;
  return settings.clipSample ? clean.map((x) => Math.min(Math.max(x, -range), range)) : clean;
}

/** Saharia et al., "Photorealistic Text-to-Image Diffusion Models" (Imagen), section 2.3, for each sample by itself. */
function dynamicThreshold(clean: Float32Array, settings: SchedulerSettings, batch: number): Float32Array {
  if (!Number.isSafeInteger(batch) || batch < 1 || clean.length % batch !== 0) {
    throw new InvalidRequest(
      "batch",
      batch,
      `must divide the ${clean.length} values of the sample, got ${batch}.`,
    );
  }
  const size = clean.length / batch;
  const out = new Float32Array(clean.length);
  for (let start = 0; start < clean.length; start += size) {
    const one = clean.subarray(start, start + size);
    const quantile = quantileOf(one.map(Math.abs), settings.dynamicThresholdingRatio);
    const bound = Math.min(Math.max(quantile, 1), f32(settings.sampleMaxValue));
    out.set(
      one.map((x) => Math.min(Math.max(x, -bound), bound) / bound),
      start,
    );
  }
  return out;
}

/** torch.quantile: the rank is computed in float32. */
function quantileOf(values: Float32Array, share: number): number {
  const sorted = values.sort();
  const rank = f32(f32(share) * (sorted.length - 1));
  const below = Math.floor(rank);
  return lerp32(sorted[below]!, sorted[Math.min(below + 1, sorted.length - 1)]!, f32(rank - below));
}
