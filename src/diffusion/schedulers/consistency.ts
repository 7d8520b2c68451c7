/** @file What LCM and TCD share: the few timesteps of the schedule a consistency model was distilled on. */

import { InvalidRequest } from "../../errors.js";
import { distilledTimesteps } from "../spacing.js";
import { AlphaScheduler } from "./alpha-scheduler.js";
import { commonDefaults, type SchedulerSettings } from "./config-fields.js";
import type { TimestepOptions } from "./scheduler.js";

export const distilledDefaults = {
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

export abstract class DistilledScheduler extends AlphaScheduler {
  /** Steps as asked for; fewer timesteps are left of custom ones when strength is below 1. */
  protected numInferenceSteps = 0;

  /** The timesteps of the distilled schedule, ascending; `originalSteps` is the option, if given. */
  protected abstract trainedTimesteps(originalSteps: number | undefined, strength: number): number[];

  setTimesteps(numInferenceSteps: number | undefined, options: TimestepOptions = {}): void {
    const accepts = ["timesteps", "originalInferenceSteps", "strength"] as const;
    const {
      count,
      timesteps,
      originalInferenceSteps,
      strength = 1,
    } = this.checked(numInferenceSteps, options, accepts);
    this.refuseTrainingSchedule(originalInferenceSteps, strength);
    const trained = this.trainedTimesteps(originalInferenceSteps, strength);
    const chosen = timesteps ? this.custom(timesteps, strength) : this.chosen(trained, count, options);
    this.numInferenceSteps = count;
    this.begin(chosen);
  }

  private custom(timesteps: readonly number[], strength: number): readonly number[] {
    this.refuseNotDescending(timesteps);
    const used = Math.min(Math.trunc(timesteps.length * strength), timesteps.length);
    return timesteps.slice(timesteps.length - used);
  }

  private chosen(trained: readonly number[], count: number, options: TimestepOptions): number[] {
    const original = options.originalInferenceSteps ?? this.settings.originalInferenceSteps;
    this.refuseMoreThanTrained(count);
    const most = Math.min(trained.length, original);
    if (count > most) {
      const rule = `must be at most ${most} (original_inference_steps times strength), got ${count}.`;
      throw new InvalidRequest("numInferenceSteps", count, rule);
    }
    return distilledTimesteps(trained, count);
  }

  private refuseTrainingSchedule(original: number | undefined, strength: number): void {
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
  protected everyKth(original: number, strength: number): number[] {
    const { numTrainTimesteps } = this.settings;
    if (original > numTrainTimesteps) {
      const rule = `must be at most ${numTrainTimesteps} (num_train_timesteps), got ${original}.`;
      throw new InvalidRequest("originalInferenceSteps", original, rule);
    }
    const k = Math.floor(numTrainTimesteps / original);
    return Array.from({ length: Math.trunc(original * strength) }, (_, i) => (i + 1) * k - 1);
  }
}
