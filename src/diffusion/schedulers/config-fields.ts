/** @file The fields of scheduler_config.json that any scheduler reads: meaning, allowed values, neutral value. */

import { InvalidRequest, listed } from "../../errors.js";
import { type BetaSchedule, betaSchedules } from "../betas.js";
import { type PredictionType, predictionTypes } from "../prediction.js";
import { type TimestepSpacing, timestepSpacings } from "../spacing.js";

/**
 * The fields of scheduler_config.json that a scheduler here may read. To a scheduler whose class does not have a field it
 * is neutral, whatever the file says.
 */
export type SchedulerSettings = {
  /** How many timesteps the model was trained with. */
  readonly numTrainTimesteps: number;
  /** The first beta: variance that the forward process adds at timestep 0. */
  readonly betaStart: number;
  /** The last beta. */
  readonly betaEnd: number;
  /** How betas go from the first to the last. */
  readonly betaSchedule: BetaSchedule;
  /** All betas, in place of beta_schedule. */
  readonly trainedBetas: readonly number[] | null;
  /** What the network predicts. */
  readonly predictionType: PredictionType;
  /** Euler: how sigmas between training timesteps are interpolated. */
  readonly interpolationType: "linear" | "log_linear";
  /** Sigmas spaced as in Karras et al. (arXiv 2206.00364), equation 5. */
  readonly useKarrasSigmas: boolean | null;
  /** Sigmas spaced evenly in their logarithm. */
  readonly useExponentialSigmas: boolean | null;
  /** Sigmas at quantiles of a beta distribution (Lee et al., arXiv 2407.12173). */
  readonly useBetaSigmas: boolean | null;
  /** DPM-Solver: sigmas spaced evenly in lambda (Lu et al., arXiv 2211.01095). */
  readonly useLuLambdas: boolean | null;
  /** DPM-Solver, UniPC, DEIS: sigmas of flow matching, from 1 to 0. */
  readonly useFlowSigmas: boolean | null;
  /** How far flow matching's sigmas are shifted towards 1; 1 leaves them even. */
  readonly flowShift: number | null;
  /** The lowest sigma of a Karras, exponential or beta schedule; null takes the training schedule's. */
  readonly sigmaMin: number | null;
  /** The highest sigma of a Karras, exponential or beta schedule; null takes the training schedule's. */
  readonly sigmaMax: number | null;
  /** EDM: the standard deviation of the data (Karras et al., arXiv 2206.00364, table 1). */
  readonly sigmaData: number;
  /** EDM: how sigmas are spaced. */
  readonly sigmaSchedule: "karras" | "exponential";
  /** EDM: the exponent of the Karras schedule. */
  readonly rho: number;
  /** Which training timesteps are visited (Lin et al., arXiv 2305.08891, table 2). */
  readonly timestepSpacing: TimestepSpacing;
  /** Euler: "continuous" calls a v-prediction network with log(sigma) / 4. */
  readonly timestepType: "discrete" | "continuous";
  /** Added to timesteps with "leading" spacing. */
  readonly stepsOffset: number;
  /** Rescales betas so that the last timestep is pure noise (Lin et al., arXiv 2305.08891, algorithm 1). */
  readonly rescaleBetasZeroSnr: boolean;
  /** Whether the last step goes to sigma 0 or to the lowest sigma of training. */
  readonly finalSigmasType: "zero" | "sigma_min";
  /** Clips the predicted clean sample to -clip_sample_range..clip_sample_range. */
  readonly clipSample: boolean | null;
  /** Largest absolute value of a clipped clean sample. */
  readonly clipSampleRange: number;
  /** Dynamic thresholding of the predicted clean sample (Saharia et al., arXiv 2205.11487). */
  readonly thresholding: boolean;
  /** Thresholding: the quantile of absolute values that becomes the bound. */
  readonly dynamicThresholdingRatio: number;
  /** Thresholding: the largest bound. */
  readonly sampleMaxValue: number;
  /** Whether alpha-bar before timestep 0 is 1, or that of timestep 0. */
  readonly setAlphaToOne: boolean;
  /** PNDM: begin without Runge-Kutta steps. */
  readonly skipPrkSteps: boolean;
  /** DDPM: variance of the noise that a step adds. */
  readonly varianceType:
    | "fixed_small"
    | "fixed_small_log"
    | "fixed_large"
    | "fixed_large_log"
    | "learned"
    | "learned_range"
    | null;
  /** DPM-Solver, UniPC, DEIS: order of the solver, 1 to 3. */
  readonly solverOrder: number;
  /** DPM-Solver: "++" integrates the clean sample instead of the noise, "sde" adds noise. */
  readonly algorithmType: "dpmsolver" | "dpmsolver++" | "sde-dpmsolver" | "sde-dpmsolver++" | "deis";
  /** The second-order formula of a solver. */
  readonly solverType: "midpoint" | "heun" | "logrho" | "bh1" | "bh2";
  /** Lowers the order in the last steps. */
  readonly lowerOrderFinal: boolean;
  /** DPM-Solver: the last step is of first order. */
  readonly eulerAtFinal: boolean;
  /** DPM-Solver: leaves timesteps with a lower log(alpha / sigma) out. */
  readonly lambdaMinClipped: number;
  /** UniPC: integrates the clean sample instead of the noise. */
  readonly predictX0: boolean;
  /** UniPC: indices of steps without the corrector. */
  readonly disableCorrector: readonly number[];
  /** UniPC: a second solver as its predictor; not supported. */
  readonly solverP: null;
  /** LCM, TCD: how many steps the model was distilled on. */
  readonly originalInferenceSteps: number;
  /** LCM: factor of timesteps in its boundary condition. */
  readonly timestepScaling: number;
  /** Without effect, as in Diffusers where `set_timesteps` gets no `mu`. */
  readonly useDynamicShifting: boolean;
  /** Without effect, like use_dynamic_shifting. */
  readonly timeShiftType: "exponential" | "linear";
};

export type SettingName = keyof SchedulerSettings;

const varianceTypes = [
  "fixed_small",
  "fixed_small_log",
  "fixed_large",
  "fixed_large_log",
  "learned",
  "learned_range",
] as const;
const algorithmTypes = ["dpmsolver", "dpmsolver++", "sde-dpmsolver", "sde-dpmsolver++", "deis"] as const;
const solverTypes = ["midpoint", "heun", "logrho", "bh1", "bh2"] as const;

/** What a value must be, in words, and whether it is. */
type Rule<T> = { readonly text: string; readonly holds: (value: unknown) => value is T };

function rule<T>(text: string, holds: (value: unknown) => boolean): Rule<T> {
  return { text, holds: holds as (value: unknown) => value is T };
}

function oneOf<const T extends string>(values: readonly T[]): Rule<T> {
  return rule(`must be one of ${listed(values, 9)}`, (v) => values.includes(v as T));
}

function orNull<T>(inner: Rule<T>): Rule<T | null> {
  return rule(`${inner.text} or null`, (v) => v === null || inner.holds(v));
}

const flag = rule<boolean>("must be true or false", (v) => typeof v === "boolean");
/** Diffusers declares its use_* switches Optional[bool]; null counts as false. */
const looseFlag = rule<boolean | null>("must be true, false or null", (v) => v === null || flag.holds(v));
const number = rule<number>("must be a number", (v) => typeof v === "number" && Number.isFinite(v));
const bound = rule<number>("must be a number or -Infinity", (v) => typeof v === "number" && !Number.isNaN(v));
const positive = rule<number>("must be a number above 0", (v) => number.holds(v) && v > 0);
const share = rule<number>("must be a number from 0 to 1", (v) => number.holds(v) && v >= 0 && v <= 1);
const integer = rule<number>("must be an integer", Number.isSafeInteger);
const count = rule<number>("must be an integer above 0", (v) => integer.holds(v) && v > 0);
const solverOrder = rule<number>("must be 1, 2 or 3", (v) => v === 1 || v === 2 || v === 3);
const numbers = rule<readonly number[]>(
  "must be a list of numbers",
  (v) => Array.isArray(v) && v.length > 0 && v.every(number.holds),
);
const integers = rule<readonly number[]>(
  "must be a list of integers",
  (v) => Array.isArray(v) && v.every(integer.holds),
);
const nothing = rule<null>("must be null (a second solver inside UniPC is not supported)", (v) => v === null);

/** A field's rule, and the value that has no effect, for the schedulers without this field. */
type Field<T> = Rule<T> & { readonly neutral: T };

const field = <T>(allowed: Rule<T>, neutral: NoInfer<T>): Field<T> => ({ ...allowed, neutral });

const fields: { readonly [K in SettingName]: Field<SchedulerSettings[K]> } = {
  numTrainTimesteps: field(count, 1000),
  betaStart: field(number, 0.0001),
  betaEnd: field(number, 0.02),
  betaSchedule: field(oneOf(betaSchedules), "linear"),
  trainedBetas: field(orNull(numbers), null),
  predictionType: field(oneOf(predictionTypes), "epsilon"),
  interpolationType: field(oneOf(["linear", "log_linear"]), "linear"),
  useKarrasSigmas: field(looseFlag, false),
  useExponentialSigmas: field(looseFlag, false),
  useBetaSigmas: field(looseFlag, false),
  useLuLambdas: field(looseFlag, false),
  useFlowSigmas: field(looseFlag, false),
  flowShift: field(orNull(positive), 1),
  sigmaMin: field(orNull(positive), null),
  sigmaMax: field(orNull(positive), null),
  sigmaData: field(positive, 0.5),
  sigmaSchedule: field(oneOf(["karras", "exponential"]), "karras"),
  rho: field(positive, 7),
  timestepSpacing: field(oneOf(timestepSpacings), "linspace"),
  timestepType: field(oneOf(["discrete", "continuous"]), "discrete"),
  stepsOffset: field(integer, 0),
  rescaleBetasZeroSnr: field(flag, false),
  finalSigmasType: field(oneOf(["zero", "sigma_min"]), "zero"),
  clipSample: field(looseFlag, false),
  clipSampleRange: field(positive, 1),
  thresholding: field(flag, false),
  dynamicThresholdingRatio: field(share, 0.995),
  sampleMaxValue: field(positive, 1),
  setAlphaToOne: field(flag, true),
  skipPrkSteps: field(flag, false),
  varianceType: field(orNull(oneOf(varianceTypes)), null),
  solverOrder: field(solverOrder, 2),
  algorithmType: field(oneOf(algorithmTypes), "dpmsolver++"),
  solverType: field(oneOf(solverTypes), "midpoint"),
  lowerOrderFinal: field(flag, false),
  eulerAtFinal: field(flag, false),
  lambdaMinClipped: field(bound, Number.NEGATIVE_INFINITY),
  predictX0: field(flag, true),
  disableCorrector: field(integers, []),
  solverP: field(nothing, null),
  originalInferenceSteps: field(count, 50),
  timestepScaling: field(number, 10),
  useDynamicShifting: field(flag, false),
  timeShiftType: field(oneOf(["exponential", "linear"]), "exponential"),
};

export const settingNames = Object.keys(fields) as readonly SettingName[];

const neutral = Object.fromEntries(
  settingNames.map((name) => [name, fields[name].neutral]),
) as SchedulerSettings;

export function isSettingName(name: string): name is SettingName {
  return Object.hasOwn(fields, name);
}

/** Checks one field; `where` is the field as the config spells it. Throws InvalidRequest. */
export function checkSetting(name: SettingName, value: unknown, where: string): void {
  const { text, holds } = fields[name];
  if (!holds(value)) throw new InvalidRequest(where, value, `${text}, got ${JSON.stringify(value)}.`);
}

/** A scheduler's settings: checked fields of its config, over its class's defaults, over neutral values. */
export function settingsFrom(
  defaults: Partial<SchedulerSettings>,
  given: Partial<SchedulerSettings>,
): SchedulerSettings {
  return Object.freeze({ ...neutral, ...defaults, ...given });
}

/** The defaults that most of Diffusers' schedulers share. */
export const commonDefaults = {
  numTrainTimesteps: 1000,
  betaStart: 0.0001,
  betaEnd: 0.02,
  betaSchedule: "linear",
  trainedBetas: null,
  predictionType: "epsilon",
} as const satisfies Partial<SchedulerSettings>;
