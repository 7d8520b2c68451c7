/** @file LCM: multistep sampling of a latent consistency model. */

import { f32 } from "../arithmetic.js";
import { predictClean } from "../prediction.js";
import { weightedSum } from "../vector.js";
import { DistilledScheduler, distilledDefaults } from "./consistency.js";
import type { StepOptions, StepResult } from "./scheduler.js";
import { limited } from "./threshold.js";

const sigmaData = 0.5;

/** Luo et al., "Latent Consistency Models" (arXiv 2310.04378), algorithm 3. */
export class LCMScheduler extends DistilledScheduler {
  constructor(
    source: Readonly<Record<string, unknown>> = {},
    overrides: Readonly<Record<string, unknown>> = {},
  ) {
    super({ className: "LCMScheduler", defaults: distilledDefaults }, source, overrides);
  }

  /** predOriginalSample is the consistency function's value (Diffusers' `denoised`). */
  step(output: Float32Array, timestep: number, sample: Float32Array, options: StepOptions = {}): StepResult {
    this.refuseUnset();
    this.refuseUnlike(output, sample);
    const type = this.prediction("epsilon", "v_prediction", "sample");
    const index = this.place(timestep);
    const predicted = predictClean(type, output, sample, this.level(timestep));
    const clean = limited(predicted, this.settings, options.batch);
    const { skip, out } = this.boundary(timestep);
    const denoised = weightedSum([out, clean], [skip, sample]);
    const isLast = index === this.numInferenceSteps - 1;
    const prevSample = isLast
      ? denoised
      : this.noised(denoised, this.timesteps[index + 1] ?? timestep, options);
    this.stepIndex = index + 1;
    return { prevSample, predOriginalSample: denoised };
  }

  protected trainedTimesteps(originalSteps: number | undefined, strength: number): number[] {
    return this.everyKth(originalSteps ?? this.settings.originalInferenceSteps, strength);
  }

  private noised(clean: Float32Array, timestep: number, options: StepOptions): Float32Array {
    const { alpha, sigma } = this.level(timestep);
    return weightedSum([alpha, clean], [sigma, this.noise(clean.length, options)]);
  }

  /** c_skip and c_out of section 4.1, which make the function the identity at timestep 0. */
  private boundary(timestep: number): { skip: number; out: number } {
    const scaled = f32(timestep * this.settings.timestepScaling);
    const total = f32(f32(scaled * scaled) + sigmaData ** 2);
    return { skip: f32(sigmaData ** 2 / total), out: f32(scaled / f32(Math.sqrt(total))) };
  }
}
