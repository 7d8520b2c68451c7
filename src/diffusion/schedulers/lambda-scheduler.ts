/** @file The base class of exponential integrators in lambda = log(alpha / sigma): DPM-Solver, UniPC, DEIS. */

import { InvalidRequest } from "../../errors.js";
import { f32, log32, roundHalfEven } from "../arithmetic.js";
import { type Level, type PredictionType, predictClean, preservingLevel } from "../prediction.js";
import { weightedSum } from "../vector.js";
import { BaseScheduler } from "./base-scheduler.js";
import { clipSample } from "./clip-sample.js";
import type { SchedulerFields, SchedulerKind } from "./config.js";
import { commonDefaults, type SchedulerSettings } from "./config-fields.js";
import type { TimestepOptions } from "./scheduler.js";
import {
  finiteAlphas,
  flowSigmas,
  flowSigmasFromOne,
  luLambdas,
  sigmaSchedule,
  sigmaScheduleOf,
  sigmasAt,
  timestepOfSigma,
  trainingSigmas,
} from "./sigmas.js";

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

/** How the schedules of this family's classes differ. */
export type SigmaScheduleRules = {
  /** Whether final_sigmas_type "sigma_min" means the last sigma of the schedule, or the lowest one of training. */
  readonly endsOnSchedule: boolean;
  /** Whether timesteps of Karras and lu sigmas are rounded; other ones are cut off to integers. */
  readonly rounds: boolean;
  readonly finalSigmasType: SchedulerSettings["finalSigmasType"];
  /** Whether flow sigmas begin at 1 and Karras sigmas of a flow are mapped to below 1: UniPC as of Diffusers 0.42. */
  readonly flowsFromOne?: boolean;
};

export abstract class LambdaScheduler extends BaseScheduler {
  /** Alpha-bar, sigma and log sigma at every training timestep, float32. */
  readonly #alphas: Float32Array;
  readonly #trainingSigmas: Float32Array;
  readonly #logTrainingSigmas: Float32Array;

  constructor(kind: SchedulerKind, source: SchedulerFields, overrides: SchedulerFields) {
    super(kind, source, overrides);
    this.#alphas = finiteAlphas(this.settings, this.noiseSchedule);
    this.#trainingSigmas = trainingSigmas(this.#alphas);
    this.#logTrainingSigmas = this.#trainingSigmas.map(log32);
    this.sigmas = Array.from(this.#trainingSigmas);
  }

  get initNoiseSigma(): number {
    return 1;
  }

  scaleModelInput(sample: Float32Array, _timestep: number): Float32Array {
    return sample;
  }

  addNoise(original: Float32Array, noise: Float32Array, timestep: number): Float32Array {
    const { alpha, sigma } = this.levelAt(this.noiseIndex(timestep));
    return weightedSum([alpha, original], [sigma, noise]);
  }

  /** For a timestep that is not in the schedule, its last index. */
  protected override indexForTimestep(timestep: number): number {
    return this.timesteps.includes(timestep) ? super.indexForTimestep(timestep) : this.timesteps.length - 1;
  }

  protected sigma(index: number): number {
    return this.sigmas?.at(index) ?? Number.NaN;
  }

  protected levelAt(index: number): Level {
    const sigma = this.sigma(index);
    return this.settings.useFlowSigmas ? { alpha: f32(1 - sigma), sigma } : preservingLevel(sigma);
  }

  /** The clean sample at `index`, thresholded if the config says so. */
  protected predictCleanAt(
    index: number,
    type: PredictionType,
    output: Float32Array,
    sample: Float32Array,
    batch: number | undefined,
  ): Float32Array {
    // A flow network's output is scaled by the schedule's sigma, also where the levels preserve variance.
    const level = type === "flow_prediction" ? { alpha: 1, sigma: this.sigma(index) } : this.levelAt(index);
    return clipSample(predictClean(type, output, sample, level), this.settings, batch);
  }

  /** Sets integer timesteps and sigmas; `plain` are the timesteps of a config without a sigma schedule. */
  protected setSigmaSchedule(plain: readonly number[], count: number, rules: SigmaScheduleRules): void {
    const { numTrainTimesteps, flowShift, useFlowSigmas } = this.settings;
    const schedule = this.#scheduleSigmas(count);
    const last = (own: number) => (rules.finalSigmasType === "zero" ? 0 : own);
    const flow = (sigmas: readonly number[]) => {
      const end = rules.endsOnSchedule ? sigmas[count - 1]! : this.#trainingSigmas[0]!;
      const timesteps = sigmas.map((sigma) => Math.trunc(sigma * numTrainTimesteps));
      this.setSchedule(timesteps, [...sigmas, last(end)]);
    };
    if (schedule && useFlowSigmas && rules.flowsFromOne && schedule.rounds) {
      flow(schedule.sigmas.map((sigma) => sigma / (sigma + 1)));
    } else if (schedule) {
      const timesteps = schedule.sigmas.map((sigma) => timestepOfSigma(sigma, this.#logTrainingSigmas));
      const whole =
        rules.rounds && schedule.rounds ? timesteps.map(roundHalfEven) : timesteps.map(Math.trunc);
      const end = rules.endsOnSchedule ? schedule.sigmas[count - 1]! : this.#trainingSigmas[0]!;
      this.setSchedule(whole, [...schedule.sigmas, last(end)]);
    } else if (useFlowSigmas) {
      const spaced = rules.flowsFromOne ? flowSigmasFromOne : flowSigmas;
      flow(spaced(flowShift ?? 1, numTrainTimesteps, count));
    } else {
      this.setSchedule(plain, [...sigmasAt(plain, this.#trainingSigmas), last(this.#trainingSigmas[0]!)]);
    }
  }

  /** The config's sigma schedule over the range of training, or from sigma_min to sigma_max. */
  #scheduleSigmas(count: number): { sigmas: number[]; rounds: boolean } | undefined {
    const schedule = sigmaScheduleOf(this.settings);
    const [first, last] = [this.#trainingSigmas[0]!, this.#trainingSigmas[this.#trainingSigmas.length - 1]!];
    if (schedule !== "karras" && this.settings.useLuLambdas) {
      const [logMin, logMax] = [
        this.#logTrainingSigmas[0]!,
        this.#logTrainingSigmas[this.#logTrainingSigmas.length - 1]!,
      ];
      return { sigmas: luLambdas(logMin, logMax, count), rounds: true };
    }
    if (schedule === undefined) return undefined;
    const { sigmaMin, sigmaMax } = this.settings;
    return {
      sigmas: sigmaSchedule(schedule, sigmaMin ?? first, sigmaMax ?? last, count),
      rounds: schedule === "karras",
    };
  }

  /** Custom timesteps must be integers, and exclude a config that has a sigma schedule. */
  protected checkCustomTimesteps({ timesteps }: TimestepOptions): void {
    if (timesteps === undefined) return;
    const { useLuLambdas, useFlowSigmas } = this.settings;
    if (useLuLambdas || useFlowSigmas) {
      const name = useLuLambdas ? "use_lu_lambdas" : "use_flow_sigmas";
      throw new InvalidRequest("timesteps", timesteps, `must not be given with ${name}.`);
    }
    if (timesteps.every(Number.isInteger)) return;
    throw new InvalidRequest("timesteps", timesteps, `must be integers, got ${JSON.stringify(timesteps)}.`);
  }

  /** How many of the noisiest training timesteps lambda_min_clipped leaves out. */
  protected clippedTimesteps(): number {
    const bound = f32(this.settings.lambdaMinClipped);
    const lambdas = this.#alphas.toReversed().map((alphaBar) => {
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
