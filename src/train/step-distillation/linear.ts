/**
 * @file What a network's output says of a noisy sample: its clean sample, its noise, the next sample of a solver. Each is
 * linear in the sample and in the output, so that two factors stand for it.
 */

import { boundaryScalings } from "../../diffusion/boundary-scalings.js";
import type { TrainingNoise } from "../noise.js";

/** `sample` times the noisy sample plus `output` times the network's output. */
export type Linear = { readonly sample: number; readonly output: number };

/** alpha-bar at a timestep; 1, no noise, below timestep 0. In double precision from here on. */
export function alphaBarAt({ alphasCumprod }: TrainingNoise, timestep: number): number {
  if (timestep < 0) return 1;
  const alphaBar = alphasCumprod[timestep];
  if (alphaBar === undefined) throw new Error(`internal: no timestep ${timestep} of ${alphasCumprod.length}`);
  return alphaBar;
}

const plus = (a: number, x: Linear, b: number, y: Linear): Linear => ({
  sample: a * x.sample + b * y.sample,
  output: a * x.output + b * y.output,
});

const itself: Linear = { sample: 1, output: 0 };

/** The clean sample: of an epsilon-network (x - sigma eps) / alpha, of v alpha x - sigma v (Salimans and Ho 2022). */
export function cleanSample(noise: TrainingNoise, timestep: number): Linear {
  const alphaBar = alphaBarAt(noise, timestep);
  const [alpha, sigma] = [Math.sqrt(alphaBar), Math.sqrt(1 - alphaBar)];
  return noise.target === "epsilon"
    ? { sample: 1 / alpha, output: -sigma / alpha }
    : { sample: alpha, output: -sigma };
}

/** The noise: of a v-network sigma x + alpha v. */
export function noiseIn(noise: TrainingNoise, timestep: number): Linear {
  const alphaBar = alphaBarAt(noise, timestep);
  if (noise.target === "epsilon") return { sample: 0, output: 1 };
  return { sample: Math.sqrt(1 - alphaBar), output: Math.sqrt(alphaBar) };
}

/** The sample at timestep `to` of one DDIM step without noise (Song et al. 2020, equation 12). */
export function ddimStep(noise: TrainingNoise, from: number, to: number): Linear {
  const alphaBar = alphaBarAt(noise, to);
  const [alpha, sigma] = [Math.sqrt(alphaBar), Math.sqrt(1 - alphaBar)];
  return plus(alpha, cleanSample(noise, from), sigma, noiseIn(noise, from));
}

/** The consistency function at a timestep (Luo et al. 2023, section 4.1). */
export function consistencyFunction(
  noise: TrainingNoise,
  timestep: number,
  scalings: Parameters<typeof boundaryScalings>[1],
): Linear {
  const { skip, out } = boundaryScalings(timestep, scalings);
  return plus(skip, itself, out, cleanSample(noise, timestep));
}

/** Applies each sample's factors. sample, output: [B, ...] -> [B, ...]; computed in double precision, rounded once. */
export function applied(
  factors: readonly Linear[],
  sample: Float32Array,
  output: Float32Array,
): Float32Array<ArrayBuffer> {
  const size = sample.length / factors.length;
  return Float32Array.from(sample, (x, i) => {
    const by = factors[Math.floor(i / size)]!;
    return by.sample * x + (by.output === 0 ? 0 : by.output * output[i]!);
  });
}
