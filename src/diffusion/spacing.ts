/** @file Which training timesteps are visited (timestep_spacing, steps_offset), descending. */

import { arangeToZero, linspace, roundHalfEven } from "./arithmetic.js";

/** Which training timesteps are visited: Lin et al. (arXiv 2305.08891), table 2. */
export type TimestepSpacing = "linspace" | "leading" | "trailing";

export const timestepSpacings: readonly TimestepSpacing[] = ["linspace", "leading", "trailing"];

/** The fields of a scheduler's config that decide its timesteps. */
export type SpacingSettings = {
  readonly timestepSpacing: TimestepSpacing;
  readonly stepsOffset: number;
  readonly numTrainTimesteps: number;
};

/**
 * Timesteps of the schedulers that divide the training range by n: Euler, Heun, KDPM2, LMS (`rounded` false:
 * "linspace" is fractional), DDIM, DDPM and PNDM (`rounded` true). Lin et al., "Common Diffusion Noise Schedules
 * and Sample Steps are Flawed", table 2.
 */
export function spacedTimesteps(spacing: SpacingSettings, count: number, { rounded = false } = {}): number[] {
  const { timestepSpacing, stepsOffset, numTrainTimesteps } = spacing;
  switch (timestepSpacing) {
    case "linspace": {
      const even = linspace(0, numTrainTimesteps - 1, count).reverse();
      return even.map(rounded ? roundHalfEven : Math.fround);
    }
    case "leading": {
      const ratio = Math.floor(numTrainTimesteps / count);
      return Array.from({ length: count }, (_, i) => (count - 1 - i) * ratio + stepsOffset);
    }
    case "trailing":
      return trailing(numTrainTimesteps, numTrainTimesteps / count);
  }
  return timestepSpacing satisfies never;
}

/**
 * Timesteps of DPM-Solver, UniPC and DEIS, which divide by n + 1 and leave the last point out. `end` is below
 * num_train_timesteps when lambda_min_clipped cuts off the noisiest part.
 */
export function solverTimesteps(
  spacing: SpacingSettings,
  count: number,
  end = spacing.numTrainTimesteps,
): number[] {
  const { timestepSpacing, stepsOffset, numTrainTimesteps } = spacing;
  switch (timestepSpacing) {
    case "linspace":
      return linspace(0, end - 1, count + 1)
        .map(roundHalfEven)
        .reverse()
        .slice(0, -1);
    case "leading": {
      const ratio = Math.floor(end / (count + 1));
      return Array.from({ length: count }, (_, i) => (count - i) * ratio + stepsOffset);
    }
    case "trailing":
      return trailing(end, numTrainTimesteps / count);
  }
  return timestepSpacing satisfies never;
}

/** Where the division is inexact there may be one value more than the number of steps, as in Diffusers. */
function trailing(end: number, ratio: number): number[] {
  return arangeToZero(end, ratio).map((t) => roundHalfEven(t) - 1);
}

/** Every `skip`-th timestep of the schedule a consistency model was distilled on, from the noisiest (LCM, TCD). */
export function consistencyTimesteps(trained: readonly number[], count: number): number[] {
  const step = trained.length / count;
  return Array.from({ length: count }, (_, i) => trained[trained.length - 1 - Math.floor(i * step)]!);
}
