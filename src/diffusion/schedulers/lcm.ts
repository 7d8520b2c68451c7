/** @file The LCM scheduler: multistep sampling of a latent consistency model. */

import { boundaryScalings } from "../boundary-scalings.js";
import { predictClean } from "../prediction.js";
import { weightedSum } from "../vector.js";
import { clipSample } from "./clip-sample.js";
import type { SchedulerFields } from "./config.js";
import { ConsistencyScheduler, consistencyDefaults } from "./consistency-scheduler.js";
import type { StepOptions, StepResult } from "./scheduler.js";

/** Luo et al., "Latent Consistency Models" (arXiv 2310.04378), algorithm 3. */
export class LCMScheduler extends ConsistencyScheduler {
  constructor(source: SchedulerFields = {}, overrides: SchedulerFields = {}) {
    super({ className: "LCMScheduler", defaults: consistencyDefaults }, source, overrides);
  }

  /** predOriginalSample is the consistency function's value (Diffusers' `denoised`). */
  step(output: Float32Array, timestep: number, sample: Float32Array, options: StepOptions = {}): StepResult {
    this.checkHasTimesteps();
    this.checkSameLength(output, sample);
    const type = this.predictionType("epsilon", "v_prediction", "sample");
    const index = this.stepIndexFor(timestep);
    const predicted = predictClean(type, output, sample, this.level(timestep));
    const clean = clipSample(predicted, this.settings, options.batch);
    const { skip, out } = boundaryScalings(timestep, { timestepScaling: this.settings.timestepScaling });
    const denoised = weightedSum([out, clean], [skip, sample]);
    const isLast = index === this.numInferenceSteps - 1;
    const prevSample = isLast
      ? denoised
      : this.#noised(denoised, this.timesteps[index + 1] ?? timestep, options);
    this.stepIndex = index + 1;
    return { prevSample, predOriginalSample: denoised };
  }

  protected trainingTimesteps(originalSteps: number | undefined, strength: number): number[] {
    return this.everyKthTimestep(originalSteps ?? this.settings.originalInferenceSteps, strength);
  }

  #noised(clean: Float32Array, timestep: number, options: StepOptions): Float32Array {
    const { alpha, sigma } = this.level(timestep);
    return weightedSum([alpha, clean], [sigma, this.drawNoise(clean.length, options)]);
  }
}
