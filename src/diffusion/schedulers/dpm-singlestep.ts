/** @file The singlestep DPM-Solver scheduler: calls of order 1, 2 and 3 in turn, from the same sample. */

import { InvalidRequest } from "../../errors.js";
import { f32 } from "../arithmetic.js";
import { solverTimesteps } from "../spacing.js";
import { dividedDifference, weightedSum } from "../vector.js";
import type { SchedulerFields } from "./config.js";
import type { SchedulerSettings } from "./config-fields.js";
import { DpmScheduler, dpmDefaults, dpmKind } from "./dpm-scheduler.js";
import { dpmUpdate } from "./dpm-solver.js";
import { lambdaOf } from "./lambda-scheduler.js";
import type { StepOptions, StepResult, TimestepOptions } from "./scheduler.js";

const defaults = { ...dpmDefaults, lowerOrderFinal: false } as const satisfies Partial<SchedulerSettings>;

const kind = dpmKind("DPMSolverSinglestepScheduler", defaults, [
  "dpmsolver",
  "dpmsolver++",
  "sde-dpmsolver++",
]);

/** Lu et al., "DPM-Solver" (arXiv 2206.00927), algorithms 1 and 2, and "DPM-Solver++", algorithm 1. */
export class DPMSolverSinglestepScheduler extends DpmScheduler {
  #values: readonly Float32Array[] = [];
  #orders: readonly number[] = [];
  /** The sample at which the current round of orders began. */
  #origin: Float32Array | undefined = undefined;
  /** lower_order_final, or true once a number of steps has needed it. */
  #endsLow: boolean;

  constructor(source: SchedulerFields = {}, overrides: SchedulerFields = {}) {
    super(kind, source, overrides);
    this.#endsLow = this.settings.lowerOrderFinal;
  }

  /** This class has no timestep_spacing: timesteps are always spaced as "linspace". */
  setTimesteps(numInferenceSteps: number | undefined, options: TimestepOptions = {}): void {
    const { count, timesteps } = this.checkArguments(numInferenceSteps, options, ["timesteps"]);
    this.checkCustomTimesteps(options);
    const { numTrainTimesteps, solverOrder, finalSigmasType } = this.settings;
    const end = numTrainTimesteps - this.clippedTimesteps();
    const plain = timesteps ?? solverTimesteps(this.settings, count, end);
    this.setSigmaSchedule(plain, count, { endsOnSchedule: false, rounds: true, finalSigmasType });
    // Diffusers switches it on for all later calls where the rounds do not fit or the last step goes to sigma 0.
    this.#endsLow ||= count % solverOrder !== 0 || finalSigmasType === "zero";
    this.#orders = ordersOf(count, solverOrder, this.#endsLow, finalSigmasType === "zero");
    this.#values = [];
    this.#origin = undefined;
  }

  step(output: Float32Array, timestep: number, sample: Float32Array, options: StepOptions = {}): StepResult {
    this.checkHasTimesteps();
    this.checkSameLength(output, sample);
    const { solverOrder, solverType: solver, thresholding } = this.settings;
    if (thresholding && this.algorithm === "dpmsolver") {
      throw new InvalidRequest(
        "thresholding",
        true,
        `must be false with algorithm_type "dpmsolver", got true.`,
      );
    }
    const index = this.stepIndexFor(timestep);
    const { clean, value } = this.modelValue(index, output, sample, options.batch);
    const noise = this.algorithm.startsWith("sde") ? this.drawNoise(sample.length, options) : undefined;
    this.#values = [value, ...this.#values].slice(0, solverOrder);
    const order = Math.min(this.#orders[index] ?? 1, this.#values.length);
    if (order === 1) this.#origin = sample;
    const [from, to] = [this.levelAt(index - order + 1), this.levelAt(index + 1)];
    const update = { algorithm: this.algorithm, solver, order, from, to };
    const prevSample = dpmUpdate(update, this.#origin!, this.#differences(index, order), noise);
    this.stepIndex = index + 1;
    return { prevSample, predOriginalSample: clean };
  }

  /** Divided differences at the origin's lambda, in units of the whole round. */
  #differences(index: number, order: number): Float32Array[] {
    const [m0, m1, m2] = this.#values;
    if (order === 1) return [m0!];
    const lambda = [1, 0, -1, -2].slice(0, order + 1).map((k) => lambdaOf(this.levelAt(index + k)));
    const start = lambda[order]!;
    const h = f32(lambda[0]! - start);
    const r0 = f32(f32(lambda[1]! - start) / h);
    if (order === 2) return [m1!, dividedDifference(m0!, m1!, r0)];
    const r1 = f32(f32(lambda[2]! - start) / h);
    const inner = dividedDifference(m1!, m2!, r1);
    const outer = dividedDifference(m0!, m2!, r0);
    if (this.settings.solverType === "midpoint") return [m2!, outer];
    const span = f32(r0 - r1);
    const first = weightedSum([r0, inner], [-r1, outer]).map((x) => x / span);
    return [m2!, first, dividedDifference(outer, inner, span / 2)];
  }
}

/** The order of each network call: rounds of 1, 2, 3 (or 1, 2), the last one cut to fit where `endsLow`. */
function ordersOf(steps: number, order: number, endsLow: boolean, endsAtZero: boolean): number[] {
  const full = Math.floor(steps / order);
  const rounds = endsLow && steps % order === 0 && order > 1 ? full - 1 : full;
  const left = steps - rounds * order;
  const round = Array.from({ length: order }, (_, i) => i + 1);
  const orders = Array.from({ length: rounds }, () => round).flat();
  const last = left === order ? [...round.slice(0, -1), 1] : round.slice(0, left);
  const all = endsLow ? [...orders, ...last] : orders;
  return endsAtZero ? [...all.slice(0, -1), 1] : all;
}
