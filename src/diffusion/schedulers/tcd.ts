/** @file TCD: strategic stochastic sampling of a trajectory consistency model. */

import { InvalidRequest } from "../../errors.js";
import { f32 } from "../arithmetic.js";
import { predictClean, predictNoise } from "../prediction.js";
import { weightedSum } from "../vector.js";
import { DistilledScheduler, distilledDefaults } from "./consistency.js";
import type { StepOptions, StepResult } from "./scheduler.js";

/** Zheng et al., "Trajectory Consistency Distillation" (arXiv 2402.19159), algorithm 4; eta is its gamma. */
export class TCDScheduler extends DistilledScheduler {
  override readonly acceptsEta = true;

  constructor(
    source: Readonly<Record<string, unknown>> = {},
    overrides: Readonly<Record<string, unknown>> = {},
  ) {
    super({ className: "TCDScheduler", defaults: distilledDefaults }, source, overrides);
  }

  /** Down to timestep (1 - eta) * next, then noise up to next. Diffusers' TCD clips nothing, whatever the config. */
  step(output: Float32Array, timestep: number, sample: Float32Array, options: StepOptions = {}): StepResult {
    this.refuseUnset();
    this.refuseUnlike(output, sample);
    const { eta = 0.3 } = options;
    if (!(eta >= 0 && eta <= 1)) {
      throw new InvalidRequest("eta", eta, `must be a number from 0 to 1, got ${eta}.`);
    }
    const type = this.prediction("epsilon", "v_prediction", "sample");
    const index = this.place(timestep);
    const next = this.timesteps[index + 1] ?? 0;
    const below = Math.floor(f32(f32(1 - eta) * next));
    const level = this.level(timestep);
    const clean = predictClean(type, output, sample, level);
    const { alpha, sigma } = this.level(below);
    const noise = predictNoise(type, output, sample, level);
    const jumped = weightedSum([alpha, clean], [sigma, noise]);
    const isLast = eta === 0 || index === this.numInferenceSteps - 1;
    const prevSample = isLast
      ? jumped
      : this.noised(jumped, this.alphaBar(next) / this.alphaBar(below), options);
    this.stepIndex = index + 1;
    return { prevSample, predOriginalSample: clean };
  }

  /** With the step count given explicitly Diffusers takes every training timestep for the distilled schedule. */
  protected trainedTimesteps(originalSteps: number | undefined, strength: number): number[] {
    if (originalSteps === undefined) return this.everyKth(this.settings.originalInferenceSteps, strength);
    const length = Math.trunc(this.settings.numTrainTimesteps * strength);
    return Array.from({ length }, (_, t) => t);
  }

  private noised(sample: Float32Array, ratio: number, options: StepOptions): Float32Array {
    const noise = this.noise(sample.length, options);
    return weightedSum([Math.sqrt(ratio), sample], [Math.sqrt(f32(1 - f32(ratio))), noise]);
  }
}
