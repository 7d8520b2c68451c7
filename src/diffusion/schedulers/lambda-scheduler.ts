/** @file The exponential integrators in lambda = log(alpha / sigma) (DPM-Solver, UniPC, DEIS): schedule, levels, noising. */

import { InvalidRequest } from "../../errors.js";
import { f32, log32, roundHalfEven } from "../arithmetic.js";
import { type Level, predictClean, preservingLevel } from "../prediction.js";
import { weightedSum } from "../vector.js";
import type { SchedulerKind } from "./config.js";
import { commonDefaults, type PredictionType, type SchedulerSettings } from "./config-fields.js";
import type { TimestepOptions } from "./scheduler.js";
import { BaseScheduler } from "./scheduler-base.js";
import {
  flowSigmas,
  flowSigmasFromOne,
  luLambdas,
  sigmaSchedule,
  sigmaScheduleOf,
  sigmasAt,
  timestepOfSigma,
  trainingSigmas,
} from "./sigmas.js";
import { limited } from "./threshold.js";

type Fields = Readonly<Record<string, unknown>>;

export const solverDefaults = {
  ...commonDefaults,
  solverOrder: 2,
  thresholding: false,
  dynamicThresholdingRatio: 0.995,
  sampleMaxValue: 1,
  useKarrasSigmas: false,
  useExponentialSigmas: false,
  useBetaSigmas: false,
  useFlowSigmas: false,
  flowShift: 1,
  useDynamicShifting: false,
  timeShiftType: "exponential",
} as const satisfies Partial<SchedulerSettings>;

/** How the classes of this family differ in their schedules. */
export type SigmaScheduleRules = {
  /** "sigma_min" means the ladder's own last sigma, not the training schedule's. */
  readonly endsOnSchedule: boolean;
  /** Rounds timesteps of Karras and lu sigmas; they are cut off otherwise, like the other ladders'. */
  readonly rounds: boolean;
  readonly finalSigmasType: SchedulerSettings["finalSigmasType"];
  /** Flow sigmas are counted from 1, and Karras sigmas of a flow bent to below 1: UniPC as of Diffusers 0.42. */
  readonly flowsFromOne?: boolean;
};

export abstract class LambdaScheduler extends BaseScheduler {
  readonly initNoiseSigma = 1;
  protected readonly trained: Float32Array;
  private readonly logTrained: Float32Array;

  constructor(kind: SchedulerKind, source: Fields, overrides: Fields) {
    super(kind, source, overrides);
    const { alphasCumprod } = this.schedule;
    // A terminal alpha-bar of 0 would make sigma infinite; Diffusers puts the smallest float16 there.
    if (this.settings.rescaleBetasZeroSnr) alphasCumprod[alphasCumprod.length - 1] = 2 ** -24;
    this.trained = trainingSigmas(alphasCumprod);
    this.logTrained = this.trained.map(log32);
    this.sigmas = Array.from(this.trained);
  }

  scaleModelInput(sample: Float32Array): Float32Array {
    return sample;
  }

  addNoise(original: Float32Array, noise: Float32Array, timestep: number): Float32Array {
    const { alpha, sigma } = this.levelAt(this.noiseIndex(timestep));
    return weightedSum([alpha, original], [sigma, noise]);
  }

  /** A timestep that is not of the schedule counts as its last. */
  protected override indexOf(timestep: number): number {
    return this.timesteps.includes(timestep) ? super.indexOf(timestep) : this.timesteps.length - 1;
  }

  protected sigma(index: number): number {
    return this.sigmas?.at(index) ?? Number.NaN;
  }

  protected levelAt(index: number): Level {
    const sigma = this.sigma(index);
    return this.settings.useFlowSigmas ? { alpha: f32(1 - sigma), sigma } : preservingLevel(sigma);
  }

  /** The clean sample at `index`, thresholded if the config says so. */
  protected cleanAt(
    index: number,
    type: PredictionType,
    output: Float32Array,
    sample: Float32Array,
    batch: number | undefined,
  ): Float32Array {
    // A flow's sigma is the schedule's own, also where the levels preserve variance.
    const level = type === "flow_prediction" ? { alpha: 1, sigma: this.sigma(index) } : this.levelAt(index);
    return limited(predictClean(type, output, sample, level), this.settings, batch);
  }

  /** Sets timesteps (integers) and sigmas; `plain` are the timesteps without a ladder. */
  protected beginOnSchedule(plain: readonly number[], count: number, rules: SigmaScheduleRules): void {
    const { numTrainTimesteps, flowShift, useFlowSigmas } = this.settings;
    const levels = this.scheduleSigmas(count);
    const last = (own: number) => (rules.finalSigmasType === "zero" ? 0 : own);
    const flow = (sigmas: readonly number[]) => {
      const end = rules.endsOnSchedule ? sigmas[count - 1]! : this.trained[0]!;
      const timesteps = sigmas.map((sigma) => Math.trunc(sigma * numTrainTimesteps));
      this.begin(timesteps, [...sigmas, last(end)]);
    };
    if (levels && useFlowSigmas && rules.flowsFromOne && levels.rounds) {
      flow(levels.sigmas.map((sigma) => sigma / (sigma + 1)));
    } else if (levels) {
      const timesteps = levels.sigmas.map((sigma) => timestepOfSigma(sigma, this.logTrained));
      const whole = rules.rounds && levels.rounds ? timesteps.map(roundHalfEven) : timesteps.map(Math.trunc);
      const end = rules.endsOnSchedule ? levels.sigmas[count - 1]! : this.trained[0]!;
      this.begin(whole, [...levels.sigmas, last(end)]);
    } else if (useFlowSigmas) {
      const spaced = rules.flowsFromOne ? flowSigmasFromOne : flowSigmas;
      flow(spaced(flowShift ?? 1, numTrainTimesteps, count));
    } else {
      this.begin(plain, [...sigmasAt(plain, this.trained), last(this.trained[0]!)]);
    }
  }

  /** The ladder over the whole training range, unless sigma_min and sigma_max narrow it. */
  private scheduleSigmas(count: number): { sigmas: number[]; rounds: boolean } | undefined {
    const shape = sigmaScheduleOf(this.settings);
    const [first, last] = [this.trained[0]!, this.trained[this.trained.length - 1]!];
    if (shape !== "karras" && this.settings.useLuLambdas) {
      const [logMin, logMax] = [this.logTrained[0]!, this.logTrained[this.logTrained.length - 1]!];
      return { sigmas: luLambdas(logMin, logMax, count), rounds: true };
    }
    if (shape === undefined) return undefined;
    const { sigmaMin, sigmaMax } = this.settings;
    return {
      sigmas: sigmaSchedule(shape, sigmaMin ?? first, sigmaMax ?? last, count),
      rounds: shape === "karras",
    };
  }

  /** Custom timesteps of a solver: integers, and none with a config that spaces sigmas itself. */
  protected refuseCustom({ timesteps }: TimestepOptions): void {
    if (timesteps === undefined) return;
    const { useLuLambdas, useFlowSigmas } = this.settings;
    if (useLuLambdas || useFlowSigmas) {
      const name = useLuLambdas ? "use_lu_lambdas" : "use_flow_sigmas";
      throw new InvalidRequest("timesteps", timesteps, `must not be given with ${name}.`);
    }
    if (timesteps.every(Number.isInteger)) return;
    throw new InvalidRequest("timesteps", timesteps, `must be integers, got ${JSON.stringify(timesteps)}.`);
  }

  /** How many of the noisiest training timesteps lambda_min_clipped cuts off. */
  protected clippedTimesteps(): number {
    const bound = f32(this.settings.lambdaMinClipped);
    const lambdas = this.schedule.alphasCumprod.toReversed().map((alphaBar) => {
      const [alpha, sigma] = [f32(Math.sqrt(alphaBar)), f32(Math.sqrt(f32(1 - alphaBar)))];
      return f32(Math.log(alpha)) - f32(Math.log(sigma));
    });
    const kept = lambdas.findIndex((lambda) => lambda >= bound);
    return kept < 0 ? lambdas.length : kept;
  }
}

/** log(alpha / sigma), the solvers' time, in float32. */
export function lambdaOf({ alpha, sigma }: Level): number {
  return f32(f32(Math.log(alpha)) - f32(Math.log(sigma)));
}
