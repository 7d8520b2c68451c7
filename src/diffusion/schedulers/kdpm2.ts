/** @file The KDPM2 scheduler: second order by a network call halfway between two sigmas. */

import type { SchedulerFields, SchedulerKind } from "./config.js";
import { betweenSigmas, MidpointScheduler, midpointDefaults } from "./midpoint-scheduler.js";
import type { StepResult } from "./scheduler.js";

const kind: SchedulerKind = { className: "KDPM2DiscreteScheduler", defaults: midpointDefaults };

/** DPM-Solver-2 (Karras et al., arXiv 2206.00364, appendix; Lu et al., arXiv 2206.00927), without added noise. */
export class KDPM2DiscreteScheduler extends MidpointScheduler {
  constructor(source: SchedulerFields = {}, overrides: SchedulerFields = {}) {
    super(kind, source, overrides);
    this.setTimesteps(this.settings.numTrainTimesteps);
  }

  step(output: Float32Array, timestep: number, sample: Float32Array): StepResult {
    this.checkSameLength(output, sample);
    const index = this.stepIndexFor(timestep);
    return this.advance(output, sample, index, () => this.sigma(index));
  }

  /** Entry k lies between sigmas k - 1 and k, so entry 0 is never used. */
  protected halfway(sigmas: readonly number[]) {
    const middles = sigmas.map((sigma, k) => (k === 0 ? 0 : betweenSigmas(sigma, sigmas[k - 1]!)));
    return { middles, between: middles.slice(1, -1) };
  }

  protected middleIndex(index: number, isSecond: boolean): number {
    return isSecond ? index : index + 1;
  }
}
