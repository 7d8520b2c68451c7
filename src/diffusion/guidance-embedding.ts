/** @file The embedding of the guidance scale that latent consistency models read (Luo et al., arXiv 2310.04378). */

import { f32 } from "./arithmetic.js";

/**
 * Sines, then cosines, of w * 1000 at `width / 2` frequencies; a zero at the end of an odd width. w: the guidance scale
 * less 1, in float32. In float32 as Diffusers' `get_guidance_scale_embedding`: angles reach thousands, so that roundings
 * show.
 */
export function guidanceEmbedding(w: number, width: number): Float32Array {
  const half = Math.floor(width / 2);
  const scaled = f32(w * 1000);
  const step = f32(f32(Math.log(10000)) / (half - 1));
  const out = new Float32Array(width);
  for (let i = 0; i < half; i++) {
    const angle = f32(scaled * f32(Math.exp(f32(i * -step))));
    out[i] = Math.sin(angle);
    out[half + i] = Math.cos(angle);
  }
  return out;
}
