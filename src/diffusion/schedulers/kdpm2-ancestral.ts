/** @file The KDPM2 ancestral scheduler: a second-order step to below the next sigma, then noise up to it. */

import { ancestralSigmas } from "../posterior.js";
import { weightedSum } from "../vector.js";
import type { SchedulerFields, SchedulerKind } from "./config.js";
import { betweenSigmas, doubled, MidpointScheduler, midpointDefaults } from "./midpoint-scheduler.js";
import type { StepOptions, StepResult } from "./scheduler.js";

const kind: SchedulerKind = { className: "KDPM2AncestralDiscreteScheduler", defaults: midpointDefaults };

/** Crowson's `sample_dpm_2_ancestral` (k-diffusion); noise is added by the second call of a step. */
export class KDPM2AncestralDiscreteScheduler extends MidpointScheduler {
  #ups: readonly number[] = [];
  #downs: readonly number[] = [];

  constructor(source: SchedulerFields = {}, overrides: SchedulerFields = {}) {
    super(kind, source, overrides);
    this.setTimesteps(this.settings.numTrainTimesteps);
  }

  step(output: Float32Array, timestep: number, sample: Float32Array, options: StepOptions = {}): StepResult {
    this.checkSameLength(output, sample);
    const index = this.stepIndexFor(timestep);
    const { isSecond } = this.callAt(index);
    const noise = isSecond ? this.drawNoise(sample.length, options) : undefined;
    const result = this.advance(output, sample, index, () => this.#downs[index - 1]!);
    if (noise === undefined) return result;
    return { ...result, prevSample: weightedSum([1, result.prevSample], [this.#ups[index - 1]!, noise]) };
  }

  /** Entry k lies between sigma k and the sigma that the ancestral step from it goes down to; the last step has none. */
  protected halfway(sigmas: readonly number[]) {
    const steps = sigmas.map((sigma, k) => ancestralSigmas(sigma, sigmas[k + 1] ?? 0));
    this.#ups = doubled(steps.map(({ up }) => up));
    this.#downs = doubled(steps.map(({ down }) => down));
    const last = sigmas.length - 2;
    const middles = sigmas.map((sigma, k) => (k < last ? betweenSigmas(sigma, steps[k]!.down) : 0));
    return { middles, between: middles.slice(0, -2) };
  }

  protected middleIndex(index: number, isSecond: boolean): number {
    return isSecond ? index - 1 : index;
  }
}
