/** @file The base class of LCM and TCD: few of the timesteps on which a consistency model was distilled. */

import { InvalidRequest } from "../../errors.js";
import { consistencyTimesteps } from "../spacing.js";
import { AlphaScheduler } from "./alpha-scheduler.js";
import { commonDefaults, type SchedulerSettings } from "./config-fields.js";
import type { TimestepOptions } from "./scheduler.js";

export const consistencyDefaults = {
  ...commonDefaults,
  betaStart: 0.00085,
  betaEnd: 0.012,
  betaSchedule: "scaled_linear",
  originalInferenceSteps: 50,
  clipSample: false,
  clipSampleRange: 1,
  setAlphaToOne: true,
  stepsOffset: 0,
  thresholding: false,
  dynamicThresholdingRatio: 0.995,
  sampleMaxValue: 1,
  timestepSpacing: "leading",
  timestepScaling: 10,
  rescaleBetasZeroSnr: false,
} as const satisfies Partial<SchedulerSettings>;

export abstract class ConsistencyScheduler extends AlphaScheduler {
  /** The requested number of steps; with custom timesteps and strength below 1 there are fewer timesteps. */
  protected numInferenceSteps = 0;

  /** The timesteps that the model was distilled on, ascending; `originalSteps` is the option, if given. */
  protected abstract trainingTimesteps(originalSteps: number | undefined, strength: number): number[];

  setTimesteps(numInferenceSteps: number | undefined, options: TimestepOptions = {}): void {
    const accepts = ["timesteps", "originalInferenceSteps", "strength"] as const;
    const {
      count,
      timesteps,
      originalInferenceSteps,
      strength = 1,
    } = this.checkArguments(numInferenceSteps, options, accepts);
    this.#checkTrainingSchedule(originalInferenceSteps, strength);
    const trained = this.trainingTimesteps(originalInferenceSteps, strength);
    const spacedTimesteps = timesteps
      ? this.#customTimesteps(timesteps, strength)
      : this.#spacedTimesteps(trained, count, options);
    this.numInferenceSteps = count;
    this.setSchedule(spacedTimesteps);
  }

  #customTimesteps(timesteps: readonly number[], strength: number): readonly number[] {
    this.checkDescending(timesteps);
    const used = Math.min(Math.trunc(timesteps.length * strength), timesteps.length);
    return timesteps.slice(timesteps.length - used);
  }

  #spacedTimesteps(trained: readonly number[], count: number, options: TimestepOptions): number[] {
    const original = options.originalInferenceSteps ?? this.settings.originalInferenceSteps;
    this.checkAtMostTrained(count);
    const most = Math.min(trained.length, original);
    if (count > most) {
      const rule = `must be at most ${most} (original_inference_steps times strength), got ${count}.`;
      throw new InvalidRequest("numInferenceSteps", count, rule);
    }
    return consistencyTimesteps(trained, count);
  }

  #checkTrainingSchedule(original: number | undefined, strength: number): void {
    if (original !== undefined && (!Number.isSafeInteger(original) || original < 1)) {
      throw new InvalidRequest(
        "originalInferenceSteps",
        original,
        `must be an integer above 0, got ${original}.`,
      );
    }
    if (!(strength >= 0 && strength <= 1)) {
      throw new InvalidRequest("strength", strength, `must be a number from 0 to 1, got ${strength}.`);
    }
  }

  /** Every k-th training timestep, k = num_train_timesteps / original, up to the share `strength`. */
  protected everyKthTimestep(original: number, strength: number): number[] {
    const { numTrainTimesteps } = this.settings;
    if (original > numTrainTimesteps) {
      const rule = `must be at most ${numTrainTimesteps} (num_train_timesteps), got ${original}.`;
      throw new InvalidRequest("originalInferenceSteps", original, rule);
    }
    const k = Math.floor(numTrainTimesteps / original);
    return Array.from({ length: Math.trunc(original * strength) }, (_, i) => (i + 1) * k - 1);
  }
}
