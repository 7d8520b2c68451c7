/** @file KDPM2 with ancestral noise: a second-order step down below the next sigma, then noise up to it. */

import { weightedSum } from "../vector.js";
import type { SchedulerKind } from "./config.js";
import { ancestralSigmas } from "./euler-ancestral.js";
import { betweenSigmas, doubled, MidpointScheduler, midpointDefaults } from "./midpoint.js";
import type { StepOptions, StepResult } from "./scheduler.js";

const kind: SchedulerKind = { className: "KDPM2AncestralDiscreteScheduler", defaults: midpointDefaults };

/** Crowson's `sample_dpm_2_ancestral` (k-diffusion); noise is added by the second call of a step. */
export class KDPM2AncestralDiscreteScheduler extends MidpointScheduler {
  private ups: readonly number[] = [];
  private downs: readonly number[] = [];

  constructor(
    source: Readonly<Record<string, unknown>> = {},
    overrides: Readonly<Record<string, unknown>> = {},
  ) {
    super(kind, source, overrides);
    this.setTimesteps(this.settings.numTrainTimesteps);
  }

  step(output: Float32Array, timestep: number, sample: Float32Array, options: StepOptions = {}): StepResult {
    this.refuseUnlike(output, sample);
    const index = this.place(timestep);
    const { isSecond } = this.stageOf(index);
    const noise = isSecond ? this.noise(sample.length, options) : undefined;
    const result = this.advance(output, sample, index, () => this.downs[index - 1]!);
    if (noise === undefined) return result;
    return { ...result, prevSample: weightedSum([1, result.prevSample], [this.ups[index - 1]!, noise]) };
  }

  /** Entry k lies between sigma k and where the ancestral step from it goes down to; the last step has none. */
  protected halfway(sigmas: readonly number[]) {
    const steps = sigmas.map((sigma, k) => ancestralSigmas(sigma, sigmas[k + 1] ?? 0));
    this.ups = doubled(steps.map(({ up }) => up));
    this.downs = doubled(steps.map(({ down }) => down));
    const last = sigmas.length - 2;
    const middles = sigmas.map((sigma, k) => (k < last ? betweenSigmas(sigma, steps[k]!.down) : 0));
    return { middles, between: middles.slice(0, -2) };
  }

  protected middleIndex(index: number, isSecond: boolean): number {
    return isSecond ? index - 1 : index;
  }
}
