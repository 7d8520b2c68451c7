/** @file The DDPM scheduler: ancestral sampling from the posterior of the forward process. */

import { InvalidRequest } from "../../errors.js";
import { f32 } from "../arithmetic.js";
import { posteriorMean, posteriorVariance } from "../posterior.js";
import { predictClean } from "../prediction.js";
import { spacedTimesteps } from "../spacing.js";
import { AlphaScheduler } from "./alpha-scheduler.js";
import { clipSample } from "./clip-sample.js";
import type { SchedulerFields } from "./config.js";
import { commonDefaults, type SchedulerSettings } from "./config-fields.js";
import type { StepOptions, StepResult, TimestepOptions } from "./scheduler.js";

const defaults = {
  ...commonDefaults,
  varianceType: "fixed_small",
  clipSample: true,
  thresholding: false,
  dynamicThresholdingRatio: 0.995,
  clipSampleRange: 1,
  sampleMaxValue: 1,
  timestepSpacing: "leading",
  stepsOffset: 0,
  rescaleBetasZeroSnr: false,
} as const satisfies Partial<SchedulerSettings>;

/** Ho et al., "Denoising Diffusion Probabilistic Models" (arXiv 2006.11239), equations 6 and 7. */
export class DDPMScheduler extends AlphaScheduler {
  constructor(source: SchedulerFields = {}, overrides: SchedulerFields = {}) {
    super({ className: "DDPMScheduler", defaults, extraBetaSchedule: "sigmoid" }, source, overrides);
  }

  setTimesteps(numInferenceSteps: number | undefined, options: TimestepOptions = {}): void {
    const { count, timesteps } = this.checkArguments(numInferenceSteps, options, ["timesteps"]);
    if (timesteps) this.checkDescending(timesteps);
    else this.checkAtMostTrained(count);
    this.setSchedule(timesteps ?? spacedTimesteps(this.settings, count, { rounded: true }));
  }

  step(output: Float32Array, timestep: number, sample: Float32Array, options: StepOptions = {}): StepResult {
    const { mean, learned } = this.#splitOutput(output, sample, options);
    const type = this.predictionType("epsilon", "v_prediction", "sample");
    const previous = this.#previousTimestep(timestep);
    const [from, to] = [this.alphaBar(timestep), previous >= 0 ? this.alphaBar(previous) : 1];
    const predicted = predictClean(type, mean, sample, this.level(timestep));
    const clean = clipSample(predicted, this.settings, options.batch);
    const next = posteriorMean(clean, sample, { from, to });
    if (timestep <= 0) return { prevSample: next, predOriginalSample: clean };
    const noise = this.drawNoise(sample.length, options);
    const deviation = this.#deviation(from, to, learned);
    const prevSample = next.map(
      (x, i) => x + (typeof deviation === "number" ? deviation : deviation[i]!) * noise[i]!,
    );
    return { prevSample, predOriginalSample: clean };
  }

  #previousTimestep(timestep: number): number {
    if (!this.hasTimesteps) return timestep - 1;
    const index = this.timesteps.indexOf(timestep);
    if (index >= 0) return this.timesteps[index + 1] ?? -1;
    throw new InvalidRequest("timestep", timestep, `must be one of scheduler.timesteps, got ${timestep}.`);
  }

  /**
   * Standard deviation of a step's noise by variance_type, one number or one for each value of the sample. With
   * "fixed_large_log" Diffusers takes the square root of a logarithm, which is not a number.
   */
  #deviation(from: number, to: number, learned: Float32Array | undefined): number | Float32Array {
    const beta = f32(1 - f32(from / to));
    const small = Math.max(posteriorVariance(from, to), 1e-20);
    const type = this.settings.varianceType;
    switch (type) {
      case null:
      case "fixed_small":
      case "fixed_small_log":
        return Math.sqrt(small);
      case "fixed_large":
        return Math.sqrt(beta);
      case "fixed_large_log":
        return Math.sqrt(Math.log(beta));
      case "learned":
        return learned!.map(Math.sqrt);
      case "learned_range": {
        const [low, high] = [Math.log(small), Math.log(beta)];
        return learned!.map((v) => Math.exp(0.5 * (((v + 1) / 2) * high + (1 - (v + 1) / 2) * low)));
      }
    }
    return type satisfies never;
  }

  /** The output without the learned variance, and that variance: the second half of each sample's channels. */
  #splitOutput(output: Float32Array, sample: Float32Array, { batch = 1 }: StepOptions) {
    const type = this.settings.varianceType;
    if (type !== "learned" && type !== "learned_range") {
      this.checkSameLength(output, sample);
      return { mean: output, learned: undefined };
    }
    if (output.length !== 2 * sample.length || sample.length % batch !== 0) {
      const rule = `must have two values for each of the sample's ${sample.length} with variance_type "${type}"`;
      throw new InvalidRequest(
        "modelOutput",
        output.length,
        `${rule}, got ${output.length} in ${batch} samples.`,
      );
    }
    const size = sample.length / batch;
    const half = (which: 0 | 1) =>
      Float32Array.from(
        { length: sample.length },
        (_, i) => output[i + (Math.floor(i / size) + which) * size]!,
      );
    return { mean: half(0), learned: half(1) };
  }
}
