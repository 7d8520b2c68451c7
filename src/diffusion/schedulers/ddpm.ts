/** @file DDPM: ancestral sampling from the posterior of the forward process. */

import { InvalidRequest } from "../../errors.js";
import { f32 } from "../arithmetic.js";
import { predictClean } from "../prediction.js";
import { spacedTimesteps } from "../spacing.js";
import { weightedSum } from "../vector.js";
import { AlphaScheduler } from "./alpha-scheduler.js";
import { commonDefaults, type SchedulerSettings } from "./config-fields.js";
import type { StepOptions, StepResult, TimestepOptions } from "./scheduler.js";
import { limited } from "./threshold.js";

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
  constructor(
    source: Readonly<Record<string, unknown>> = {},
    overrides: Readonly<Record<string, unknown>> = {},
  ) {
    super({ className: "DDPMScheduler", defaults, extraBetaSchedule: "sigmoid" }, source, overrides);
  }

  setTimesteps(numInferenceSteps: number | undefined, options: TimestepOptions = {}): void {
    const { count, timesteps } = this.checked(numInferenceSteps, options, ["timesteps"]);
    if (timesteps) this.refuseNotDescending(timesteps);
    else this.refuseMoreThanTrained(count);
    this.begin(timesteps ?? spacedTimesteps(this.settings, count, { rounded: true }));
  }

  step(output: Float32Array, timestep: number, sample: Float32Array, options: StepOptions = {}): StepResult {
    const { mean, learned } = this.parts(output, sample, options);
    const type = this.prediction("epsilon", "v_prediction", "sample");
    const previous = this.previousTimestep(timestep);
    const [from, to] = [this.alphaBar(timestep), previous >= 0 ? this.alphaBar(previous) : 1];
    const predicted = predictClean(type, mean, sample, this.level(timestep));
    const clean = limited(predicted, this.settings, options.batch);
    const [alpha, rest] = [f32(from / to), f32(1 - from)];
    const cleanFactor = (Math.sqrt(to) * f32(1 - alpha)) / rest;
    const sampleFactor = (Math.sqrt(alpha) * f32(1 - to)) / rest;
    const next = weightedSum([cleanFactor, clean], [sampleFactor, sample]);
    if (timestep <= 0) return { prevSample: next, predOriginalSample: clean };
    const noise = this.noise(sample.length, options);
    const deviation = this.deviation(from, to, learned);
    const prevSample = next.map(
      (x, i) => x + (typeof deviation === "number" ? deviation : deviation[i]!) * noise[i]!,
    );
    return { prevSample, predOriginalSample: clean };
  }

  private previousTimestep(timestep: number): number {
    if (!this.isSet) return timestep - 1;
    const index = this.timesteps.indexOf(timestep);
    if (index >= 0) return this.timesteps[index + 1] ?? -1;
    throw new InvalidRequest("timestep", timestep, `must be one of scheduler.timesteps, got ${timestep}.`);
  }

  /**
   * What the noise is multiplied by; Diffusers' variance_type. "fixed_small_log" takes the square root by the
   * logarithm; "fixed_large_log" is a logarithm that Diffusers takes the root of, hence not a number.
   */
  private deviation(from: number, to: number, learned: Float32Array | undefined): number | Float32Array {
    const beta = f32(1 - f32(from / to));
    const small = Math.max(f32(f32(f32(1 - to) / f32(1 - from)) * beta), 1e-20);
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

  /** A network with a learned variance has it in the second half of each sample's channels. */
  private parts(output: Float32Array, sample: Float32Array, { batch = 1 }: StepOptions) {
    const type = this.settings.varianceType;
    if (type !== "learned" && type !== "learned_range") {
      this.refuseUnlike(output, sample);
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
