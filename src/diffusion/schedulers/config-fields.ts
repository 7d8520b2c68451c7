/** @file The fields of scheduler_config.json that any of the schedulers reads: names, types, values. Knows no algorithm. */

import { InvalidRequest, listed } from "../../errors.js";

export const predictionTypes = [
  "epsilon",
  "v_prediction",
  "sample",
  "original_sample",
  "flow_prediction",
] as const;
export type PredictionType = (typeof predictionTypes)[number];

const variances = [
  "fixed_small",
  "fixed_small_log",
  "fixed_large",
  "fixed_large_log",
  "learned",
  "learned_range",
] as const;
const algorithms = ["dpmsolver", "dpmsolver++", "sde-dpmsolver", "sde-dpmsolver++", "deis"] as const;
const solvers = ["midpoint", "heun", "logrho", "bh1", "bh2"] as const;

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

const rules = {
  numTrainTimesteps: count,
  betaStart: number,
  betaEnd: number,
  betaSchedule: oneOf(["linear", "scaled_linear", "squaredcos_cap_v2", "exp", "sigmoid"]),
  trainedBetas: orNull(numbers),
  predictionType: oneOf(predictionTypes),
  interpolationType: oneOf(["linear", "log_linear"]),
  useKarrasSigmas: looseFlag,
  useExponentialSigmas: looseFlag,
  useBetaSigmas: looseFlag,
  useLuLambdas: looseFlag,
  useFlowSigmas: looseFlag,
  flowShift: orNull(positive),
  sigmaMin: orNull(positive),
  sigmaMax: orNull(positive),
  timestepSpacing: oneOf(["linspace", "leading", "trailing"]),
  timestepType: oneOf(["discrete", "continuous"]),
  stepsOffset: integer,
  rescaleBetasZeroSnr: flag,
  finalSigmasType: oneOf(["zero", "sigma_min"]),
  clipSample: looseFlag,
  clipSampleRange: positive,
  thresholding: flag,
  dynamicThresholdingRatio: share,
  sampleMaxValue: positive,
  setAlphaToOne: flag,
  skipPrkSteps: flag,
  varianceType: orNull(oneOf(variances)),
  solverOrder,
  algorithmType: oneOf(algorithms),
  solverType: oneOf(solvers),
  lowerOrderFinal: flag,
  eulerAtFinal: flag,
  lambdaMinClipped: bound,
  predictX0: flag,
  disableCorrector: integers,
  solverP: nothing,
  originalInferenceSteps: count,
  timestepScaling: number,
  useDynamicShifting: flag,
  timeShiftType: oneOf(["exponential", "linear"]),
} as const;

/** Every field a scheduler here may read. A scheduler without a field sees the neutral value, whatever the file says. */
export type SchedulerSettings = {
  readonly [K in keyof typeof rules]: (typeof rules)[K] extends Rule<infer T> ? T : never;
};
export type SettingName = keyof SchedulerSettings;

/** Values without effect, for the fields a scheduler does not have. */
const neutral: SchedulerSettings = {
  numTrainTimesteps: 1000,
  betaStart: 0.0001,
  betaEnd: 0.02,
  betaSchedule: "linear",
  trainedBetas: null,
  predictionType: "epsilon",
  interpolationType: "linear",
  useKarrasSigmas: false,
  useExponentialSigmas: false,
  useBetaSigmas: false,
  useLuLambdas: false,
  useFlowSigmas: false,
  flowShift: 1,
  sigmaMin: null,
  sigmaMax: null,
  timestepSpacing: "linspace",
  timestepType: "discrete",
  stepsOffset: 0,
  rescaleBetasZeroSnr: false,
  finalSigmasType: "zero",
  clipSample: false,
  clipSampleRange: 1,
  thresholding: false,
  dynamicThresholdingRatio: 0.995,
  sampleMaxValue: 1,
  setAlphaToOne: true,
  skipPrkSteps: false,
  varianceType: null,
  solverOrder: 2,
  algorithmType: "dpmsolver++",
  solverType: "midpoint",
  lowerOrderFinal: false,
  eulerAtFinal: false,
  lambdaMinClipped: Number.NEGATIVE_INFINITY,
  predictX0: true,
  disableCorrector: [],
  solverP: null,
  originalInferenceSteps: 50,
  timestepScaling: 10,
  useDynamicShifting: false,
  timeShiftType: "exponential",
};

export function isSettingName(name: string): name is SettingName {
  return Object.hasOwn(rules, name);
}

export const settingNames = Object.keys(rules) as readonly SettingName[];

/** Checks one field; `where` is how its owner wrote it. Throws InvalidRequest. */
export function checkSetting(name: SettingName, value: unknown, where: string): void {
  const { text, holds } = rules[name];
  if (!holds(value)) throw new InvalidRequest(where, value, `${text}, got ${JSON.stringify(value)}.`);
}

/** Settings of a scheduler: what it was given, over its class defaults, over neutral values. All checked before. */
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
