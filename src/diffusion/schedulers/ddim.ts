/** @file The DDIM scheduler: deterministic or partly stochastic steps between any two timesteps. */

import { posteriorVariance } from "../posterior.js";
import { noiseOf, predictClean, predictNoise } from "../prediction.js";
import { spacedTimesteps } from "../spacing.js";
import { weightedSum } from "../vector.js";
import { AlphaScheduler } from "./alpha-scheduler.js";
import { clipSample } from "./clip-sample.js";
import type { SchedulerFields } from "./config.js";
import { commonDefaults, type SchedulerSettings } from "./config-fields.js";
import type { StepOptions, StepResult, TimestepOptions } from "./scheduler.js";

const defaults = {
  ...commonDefaults,
  clipSample: true,
  setAlphaToOne: true,
  stepsOffset: 0,
  thresholding: false,
  dynamicThresholdingRatio: 0.995,
  clipSampleRange: 1,
  sampleMaxValue: 1,
  timestepSpacing: "leading",
  rescaleBetasZeroSnr: false,
} as const satisfies Partial<SchedulerSettings>;

/** Song et al., "Denoising Diffusion Implicit Models" (arXiv 2010.02502), equations 12 and 16. */
export class DDIMScheduler extends AlphaScheduler {
  override readonly acceptsEta = true;
  #stride = 1;

  constructor(source: SchedulerFields = {}, overrides: SchedulerFields = {}) {
    super({ className: "DDIMScheduler", defaults }, source, overrides);
  }

  setTimesteps(numInferenceSteps: number | undefined, options: TimestepOptions = {}): void {
    const { count } = this.checkArguments(numInferenceSteps, options);
    this.checkAtMostTrained(count);
    this.#stride = Math.floor(this.settings.numTrainTimesteps / count);
    this.setSchedule(spacedTimesteps(this.settings, count, { rounded: true }));
  }

  /** From `timestep` to `timestep` minus num_train_timesteps / n, whatever the next of `timesteps` is. */
  step(output: Float32Array, timestep: number, sample: Float32Array, options: StepOptions = {}): StepResult {
    this.checkHasTimesteps();
    this.checkSameLength(output, sample);
    const { eta = 0, useClippedModelOutput = false } = options;
    const type = this.predictionType("epsilon", "v_prediction", "sample");
    const [from, to] = [this.alphaBar(timestep), this.alphaBarBefore(timestep - this.#stride)];
    const level = this.level(timestep);
    const clean = clipSample(predictClean(type, output, sample, level), this.settings, options.batch);
    const direction = useClippedModelOutput
      ? noiseOf(clean, sample, level)
      : predictNoise(type, output, sample, level);
    const deviation = eta * Math.sqrt(posteriorVariance(from, to));
    const along = Math.sqrt(1 - to - deviation * deviation);
    const next = weightedSum([Math.sqrt(to), clean], [along, direction]);
    if (eta <= 0) return { prevSample: next, predOriginalSample: clean };
    const noise = this.drawNoise(sample.length, options);
    return { prevSample: weightedSum([1, next], [deviation, noise]), predOriginalSample: clean };
  }
}
