/** @file The boundary scalings of consistency models, which make the consistency function the identity at timestep 0. */

import { f32 } from "./arithmetic.js";

/** The standard deviation of the data, as Diffusers' LCM takes it. */
const defaultSigmaData = 0.5;

/**
 * c_skip and c_out at a timestep (Luo et al., "Latent Consistency Models", arXiv 2310.04378, section 4.1): the function is
 * skip * sample + out * clean sample. In float32 as Diffusers computes them.
 */
export function boundaryScalings(
  timestep: number,
  { timestepScaling, sigmaData = defaultSigmaData }: { timestepScaling: number; sigmaData?: number },
): { skip: number; out: number } {
  const scaled = f32(timestep * timestepScaling);
  const total = f32(f32(scaled * scaled) + sigmaData ** 2);
  return { skip: f32(sigmaData ** 2 / total), out: f32(scaled / f32(Math.sqrt(total))) };
}
