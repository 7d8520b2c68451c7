/** @file The TCD scheduler: strategic stochastic sampling of a trajectory consistency model. */

import { InvalidRequest } from "../../errors.js";
import { f32 } from "../arithmetic.js";
import { predictClean, predictNoise } from "../prediction.js";
import { weightedSum } from "../vector.js";
import type { SchedulerFields } from "./config.js";
import { ConsistencyScheduler, consistencyDefaults } from "./consistency-scheduler.js";
import type { StepOptions, StepResult } from "./scheduler.js";

/** Zheng et al., "Trajectory Consistency Distillation" (arXiv 2402.19159), algorithm 4; eta is its gamma. */
export class TCDScheduler extends ConsistencyScheduler {
  override readonly acceptsEta = true;

  constructor(source: SchedulerFields = {}, overrides: SchedulerFields = {}) {
    super({ className: "TCDScheduler", defaults: consistencyDefaults }, source, overrides);
  }

  /** Down to timestep (1 - eta) * next, then noise up to next. As in Diffusers, clip_sample has no effect. */
  step(output: Float32Array, timestep: number, sample: Float32Array, options: StepOptions = {}): StepResult {
    this.checkHasTimesteps();
    this.checkSameLength(output, sample);
    const { eta = 0.3 } = options;
    if (!(eta >= 0 && eta <= 1)) {
      throw new InvalidRequest("eta", eta, `must be a number from 0 to 1, got ${eta}.`);
    }
    const type = this.predictionType("epsilon", "v_prediction", "sample");
    const index = this.stepIndexFor(timestep);
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
      : this.#noised(jumped, this.alphaBar(next) / this.alphaBar(below), options);
    this.stepIndex = index + 1;
    return { prevSample, predOriginalSample: clean };
  }

  /** Where the option is given, Diffusers takes every training timestep as one that the model was distilled on. */
  protected trainingTimesteps(originalSteps: number | undefined, strength: number): number[] {
    if (originalSteps === undefined)
      return this.everyKthTimestep(this.settings.originalInferenceSteps, strength);
    const length = Math.trunc(this.settings.numTrainTimesteps * strength);
    return Array.from({ length }, (_, t) => t);
  }

  #noised(sample: Float32Array, ratio: number, options: StepOptions): Float32Array {
    const noise = this.drawNoise(sample.length, options);
    return weightedSum([Math.sqrt(ratio), sample], [Math.sqrt(f32(1 - f32(ratio))), noise]);
  }
}
