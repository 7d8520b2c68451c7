/** @file The multistep DPM-Solver scheduler, DPM-Solver and DPM-Solver++, deterministic and stochastic. */

import { f32 } from "../arithmetic.js";
import { solverTimesteps } from "../spacing.js";
import { dividedDifference, weightedSum } from "../vector.js";
import type { SchedulerFields, SchedulerKind } from "./config.js";
import type { SchedulerSettings } from "./config-fields.js";
import { DpmScheduler, dpmDefaults, dpmKind } from "./dpm-scheduler.js";
import { dpmUpdate } from "./dpm-solver.js";
import { lambdaOf } from "./lambda-scheduler.js";
import type { StepOptions, StepResult, TimestepOptions } from "./scheduler.js";

const defaults = {
  ...dpmDefaults,
  eulerAtFinal: false,
  useLuLambdas: false,
  timestepSpacing: "linspace",
  stepsOffset: 0,
  rescaleBetasZeroSnr: false,
} as const satisfies Partial<SchedulerSettings>;

const kind = dpmKind("DPMSolverMultistepScheduler", defaults, [
  "dpmsolver",
  "dpmsolver++",
  "sde-dpmsolver",
  "sde-dpmsolver++",
]);

/** Lu et al., "DPM-Solver++: Fast Solver for Guided Sampling" (arXiv 2211.01095), algorithm 2 and appendix B. */
export class DPMSolverMultistepScheduler extends DpmScheduler {
  /** Values of the model, the latest first. */
  #values: readonly Float32Array[] = [];

  constructor(source: SchedulerFields = {}, overrides: SchedulerFields = {}, ownKind: SchedulerKind = kind) {
    super(ownKind, source, overrides);
  }

  setTimesteps(numInferenceSteps: number | undefined, options: TimestepOptions = {}): void {
    const { count, timesteps } = this.checkArguments(numInferenceSteps, options, ["timesteps"]);
    this.checkCustomTimesteps(options);
    const { numTrainTimesteps, betaSchedule, finalSigmasType } = this.settings;
    const end = numTrainTimesteps - this.clippedTimesteps();
    const plain = timesteps ?? solverTimesteps(this.settings, count, end);
    const rounds = betaSchedule !== "squaredcos_cap_v2";
    this.setSigmaSchedule(plain, count, { endsOnSchedule: false, rounds, finalSigmasType });
  }

  /** Forgets the values of an earlier run. */
  protected override setSchedule(timesteps: readonly number[], sigmas?: readonly number[]): void {
    super.setSchedule(timesteps, sigmas);
    this.#values = [];
  }

  step(output: Float32Array, timestep: number, sample: Float32Array, options: StepOptions = {}): StepResult {
    this.checkHasTimesteps();
    this.checkSameLength(output, sample);
    const index = this.stepIndexFor(timestep);
    const { clean, value } = this.modelValue(index, output, sample, options.batch);
    const noise = this.algorithm.startsWith("sde") ? this.drawNoise(sample.length, options) : undefined;
    const { solverOrder, solverType: solver } = this.settings;
    const values = [value, ...this.#values].slice(0, solverOrder);
    const order = Math.min(values.length, this.#highestOrder(index));
    const [from, to] = [this.levelAt(index), this.levelAt(index + 1)];
    const update = { algorithm: this.algorithm, solver, order, from, to };
    const prevSample = dpmUpdate(update, sample, this.#differences(index, order, values), noise);
    this.#values = values;
    this.stepIndex = index + 1;
    return { prevSample, predOriginalSample: clean };
  }

  /** Few steps end at low order (lower_order_final), and a step to sigma 0 is possible at first order only. */
  #highestOrder(index: number): number {
    const { solverOrder, lowerOrderFinal, eulerAtFinal, finalSigmasType } = this.settings;
    const left = this.timesteps.length - index;
    const isFew = lowerOrderFinal && this.timesteps.length < 15;
    if (left === 1 && (eulerAtFinal || isFew || finalSigmasType === "zero")) return 1;
    return left === 2 && isFew ? Math.min(solverOrder, 2) : solverOrder;
  }

  /** Divided differences at the current lambda, in units of the coming step. */
  #differences(index: number, order: number, values: readonly Float32Array[]): Float32Array[] {
    const [m0, m1, m2] = values;
    if (order === 1) return [m0!];
    const lambda = [1, 0, -1, -2].slice(0, order + 1).map((k) => lambdaOf(this.levelAt(index + k)));
    const h = f32(lambda[0]! - lambda[1]!);
    const r0 = f32(f32(lambda[1]! - lambda[2]!) / h);
    const recent = dividedDifference(m0!, m1!, r0);
    if (order === 2) return [m0!, recent];
    const r1 = f32(f32(lambda[2]! - lambda[3]!) / h);
    const earlier = dividedDifference(m1!, m2!, r1);
    const second = dividedDifference(recent, earlier, f32(r0 + r1));
    return [m0!, weightedSum([1, recent], [r0, second]), second];
  }
}
