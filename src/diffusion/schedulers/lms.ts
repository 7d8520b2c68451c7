/** @file The LMS scheduler: Adams-Bashforth on the probability-flow ODE, over unevenly spaced sigmas. */

import { InvalidRequest } from "../../errors.js";
import { dividedDifference, weightedSum } from "../vector.js";
import type { SchedulerFields } from "./config.js";
import { commonDefaults, type SchedulerSettings } from "./config-fields.js";
import type { StepOptions, StepResult, TimestepOptions } from "./scheduler.js";
import { SigmaScheduler } from "./sigma-scheduler.js";
import { sigmaScheduleOf } from "./sigmas.js";

const defaults = {
  ...commonDefaults,
  useKarrasSigmas: false,
  useExponentialSigmas: false,
  useBetaSigmas: false,
  timestepSpacing: "linspace",
  stepsOffset: 0,
} as const satisfies Partial<SchedulerSettings>;

/** Linear multistep of k-diffusion's `sample_lms`: the last derivatives' interpolating polynomial, integrated. */
export class LMSDiscreteScheduler extends SigmaScheduler {
  /** The latest first. */
  #derivatives: readonly Float32Array[] = [];

  constructor(source: SchedulerFields = {}, overrides: SchedulerFields = {}) {
    super({ className: "LMSDiscreteScheduler", defaults }, source, overrides);
    this.setTimesteps(this.settings.numTrainTimesteps);
  }

  setTimesteps(numInferenceSteps: number | undefined, options: TimestepOptions = {}): void {
    const { count } = this.checkArguments(numInferenceSteps, options);
    const { timesteps, sigmas } = this.spacedSigmas(count);
    this.setSchedule(timesteps.map(Math.fround), [...sigmas, 0]);
    this.#derivatives = [];
  }

  step(output: Float32Array, timestep: number, sample: Float32Array, options: StepOptions = {}): StepResult {
    this.checkSameLength(output, sample);
    const { order = 4 } = options;
    if (![1, 2, 3, 4].includes(order)) {
      throw new InvalidRequest("order", order, `must be 1, 2, 3 or 4, got ${order}.`);
    }
    const type = this.predictionType("epsilon", "v_prediction", "sample");
    const index = this.stepIndexFor(timestep);
    const sigma = this.sigma(index);
    const clean = this.predictClean(type, output, sample, sigma);
    const derivative = dividedDifference(sample, clean, sigma);
    this.#derivatives = [derivative, ...this.#derivatives].slice(0, order);
    // After setBeginIndex fewer derivatives exist than the index allows; Diffusers keeps the order.
    const used = Math.min(index + 1, order);
    const terms = this.#derivatives
      .slice(0, used)
      .map((d, k) => [this.#coefficient(used, index, k), d] as const);
    this.stepIndex = index + 1;
    return { prevSample: weightedSum([1, sample], [1, weightedSum(...terms)]), predOriginalSample: clean };
  }

  /** Karras sigmas ignore sigma_min and sigma_max here; the other sigma schedules use them. */
  protected override sigmaRange(sigmas: readonly number[]): { min: number; max: number } {
    if (sigmaScheduleOf(this.settings) !== "karras") return super.sigmaRange(sigmas);
    return { min: sigmas[sigmas.length - 1]!, max: sigmas[0]! };
  }

  /** The integral over the step of the Lagrange polynomial that is 1 at `current`; two Gauss points suit degree 3. */
  #coefficient(order: number, index: number, current: number): number {
    const lagrange = (sigma: number) => {
      let product = 1;
      for (let k = 0; k < order; k++) {
        if (k === current) continue;
        const node = this.sigma(index - k);
        product *= (sigma - node) / (this.sigma(index - current) - node);
      }
      return product;
    };
    const [from, to] = [this.sigma(index), this.sigma(index + 1)];
    const [middle, half] = [(from + to) / 2, (to - from) / 2];
    const offset = half / Math.sqrt(3);
    return Math.fround(half * (lagrange(middle - offset) + lagrange(middle + offset)));
  }
}
