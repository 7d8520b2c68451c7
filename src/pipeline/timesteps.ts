/** @file The timesteps of a schedule that a request runs, by its strength, denoisingStart and denoisingEnd. */

import { roundHalfEven } from "../diffusion/arithmetic.js";
import type { Scheduler } from "../diffusion/schedulers/scheduler.js";
import { InvalidRequest } from "../errors.js";
import type { AcceptedRequest } from "./request.js";

/** Of the schedule that is set; with an image, sets the scheduler's begin index. InvalidRequest if none is left. */
export function requestTimesteps(scheduler: Scheduler, request: AcceptedRequest): readonly number[] {
  const { timesteps } = scheduler;
  if (request.image === undefined) return until(timesteps, request.denoisingEnd, scheduler);
  const first = firstIndex(scheduler, request);
  scheduler.setBeginIndex(first);
  return until(timesteps.slice(first), request.denoisingEnd, scheduler);
}

/** The index of the first timestep to run. */
function firstIndex(scheduler: Scheduler, request: AcceptedRequest): number {
  const { strength, denoisingStart, numInferenceSteps: steps } = request;
  const count = scheduler.timesteps.length;
  const run = Math.floor(steps * strength);
  const byStrength = run < 1 ? count : (steps - run) * scheduler.order;
  const first = denoisingStart === undefined ? byStrength : firstBelow(scheduler, denoisingStart);
  if (first < count) return first;
  const rule = (value: number) => `must leave a step to run, got ${value} of ${steps} steps.`;
  if (denoisingStart === undefined) {
    throw new InvalidRequest("strength", strength, `${rule(strength)} Raise it, or take more steps.`);
  }
  const text = `${rule(denoisingStart)} Lower it, or take more steps.`;
  throw new InvalidRequest("denoisingStart", denoisingStart, text);
}

/** The first index below `denoisingStart`, never between the two calls of a second-order step. */
function firstBelow(scheduler: Scheduler, denoisingStart: number): number {
  const cutoff = cutoffTimestep(scheduler, denoisingStart);
  const left = scheduler.timesteps.filter((t) => t < cutoff).length;
  return scheduler.timesteps.length - (scheduler.order === 2 && left % 2 === 0 ? left + 1 : left);
}

/** The timesteps down to `denoisingEnd`, a share of the training range. */
function until(
  timesteps: readonly number[],
  denoisingEnd: number | undefined,
  scheduler: Scheduler,
): readonly number[] {
  if (denoisingEnd === undefined || denoisingEnd >= 1) return timesteps;
  const cutoff = cutoffTimestep(scheduler, denoisingEnd);
  return timesteps.slice(0, timesteps.filter((t) => t >= cutoff).length);
}

/** The training timestep at a share of the schedule, counted from the noisiest; Python's `round`. */
function cutoffTimestep({ config }: Scheduler, share: number): number {
  const trained = Number(config.numTrainTimesteps ?? 1000);
  return roundHalfEven(trained - share * trained);
}
