/** @file The base class of all schedulers: config, betas, the current index in the timesteps, checks of arguments. */

import { InvalidRequest } from "../../errors.js";
import { type NoiseSchedule, noiseSchedule } from "../betas.js";
import type { PredictionType } from "../prediction.js";
import { randn } from "../random.js";
import { readConfig, type SchedulerConfig, type SchedulerFields, type SchedulerKind } from "./config.js";
import type { SchedulerSettings } from "./config-fields.js";
import { snakeCase } from "./field-names.js";
import type { Scheduler, StepOptions, StepResult, TimestepOptions } from "./scheduler.js";
import { sigmaScheduleOf } from "./sigmas.js";

/** Checked arguments of setTimesteps; `count` is the number of steps, also where custom values are given. */
export type CheckedArguments = TimestepOptions & { readonly count: number };

export abstract class BaseScheduler implements Scheduler {
  readonly className: string;
  readonly config: SchedulerConfig;
  readonly order: number = 1;
  readonly acceptsEta: boolean = false;
  readonly isEdm: boolean = false;
  timesteps: readonly number[];
  sigmas: readonly number[] | undefined = undefined;
  protected readonly settings: SchedulerSettings;
  protected readonly noiseSchedule: NoiseSchedule;
  /** Index of the coming step in `timesteps`; undefined before the first step. */
  protected stepIndex: number | undefined = undefined;
  /** Index of the first step, if setBeginIndex was called. */
  protected beginIndex: number | undefined = undefined;
  /** Whether setTimesteps was called. */
  protected hasTimesteps = false;

  /** `source` is a parsed scheduler_config.json or another scheduler's `config`; `overrides` replace its fields. */
  constructor(kind: SchedulerKind, source: SchedulerFields, overrides: SchedulerFields) {
    const { config, settings } = readConfig(kind, source, overrides);
    this.className = kind.className;
    this.config = config;
    this.settings = settings;
    this.noiseSchedule = noiseSchedule(settings);
    const last = settings.numTrainTimesteps - 1;
    this.timesteps = Array.from({ length: settings.numTrainTimesteps }, (_, i) => last - i);
  }

  /** A scheduler of this class from a file's config or another scheduler's, with some fields replaced. */
  static fromConfig<T>(
    this: new (
      source: SchedulerFields,
      overrides: SchedulerFields,
    ) => T,
    config: SchedulerFields,
    overrides: SchedulerFields = {},
  ): T {
    return new this(config, overrides);
  }

  abstract readonly initNoiseSigma: number;
  abstract setTimesteps(numInferenceSteps: number | undefined, options?: TimestepOptions): void;
  abstract scaleModelInput(sample: Float32Array, timestep: number): Float32Array;
  abstract step(
    modelOutput: Float32Array,
    timestep: number,
    sample: Float32Array,
    options?: StepOptions,
  ): StepResult;
  abstract addNoise(original: Float32Array, noise: Float32Array, timestep: number): Float32Array;

  setBeginIndex(index: number): void {
    const last = this.timesteps.length - 1;
    if (!Number.isInteger(index) || index < 0 || index > last) {
      throw new InvalidRequest("beginIndex", index, `must be an integer from 0 to ${last}, got ${index}.`);
    }
    this.beginIndex = index;
  }

  /** Replaces timesteps and sigmas; the next step is the first. */
  protected setSchedule(timesteps: readonly number[], sigmas?: readonly number[]): void {
    this.timesteps = Object.freeze([...timesteps]);
    this.sigmas = sigmas && Object.freeze(Array.from(sigmas, Math.fround));
    this.stepIndex = undefined;
    this.beginIndex = undefined;
    this.hasTimesteps = true;
  }

  /** The index of the coming step: counted from the second step on, at the first looked up by its timestep. */
  protected stepIndexFor(timestep: number): number {
    this.stepIndex ??= this.beginIndex ?? this.indexForTimestep(timestep);
    if (this.stepIndex >= this.timesteps.length) {
      const rule = `must be one of ${this.timesteps.length} steps, got one more. Call setTimesteps first.`;
      throw new InvalidRequest("timestep", timestep, rule);
    }
    return this.stepIndex;
  }

  /** The index whose noise level addNoise uses: the coming step's in inpainting, the first step's in image-to-image. */
  protected noiseIndex(timestep: number): number {
    if (this.beginIndex === undefined) return this.indexForTimestep(timestep);
    return Math.min(this.stepIndex ?? this.beginIndex, this.timesteps.length);
  }

  /** Of a timestep that occurs twice the second index, so that image-to-image does not skip a sigma. */
  protected indexForTimestep(timestep: number): number {
    const exact = this.#nearestTimestep(timestep);
    const first = this.timesteps.indexOf(exact);
    return Math.max(first, this.timesteps.indexOf(exact, first + 1));
  }

  /** Callers may have rounded a fractional timestep to float32 or to a decimal. */
  #nearestTimestep(timestep: number): number {
    if (this.timesteps.includes(timestep)) return timestep;
    const distance = (t: number) => Math.abs(t - timestep);
    const near = this.timesteps.reduce((a, b) => (distance(b) < distance(a) ? b : a));
    if (distance(near) < 1e-3) return near;
    throw new InvalidRequest("timestep", timestep, `must be one of scheduler.timesteps, got ${timestep}.`);
  }

  /** Checks the arguments of setTimesteps; `accepted` are the options that this class has. Throws InvalidRequest. */
  protected checkArguments(
    count: number | undefined,
    options: TimestepOptions,
    accepted: readonly (keyof TimestepOptions)[] = [],
  ): CheckedArguments {
    for (const [name, value] of Object.entries(options)) {
      if (value === undefined || accepted.includes(name as keyof TimestepOptions)) continue;
      throw new InvalidRequest(name, value, `is not an option of ${this.className}'s setTimesteps.`);
    }
    const { timesteps, sigmas } = options;
    const custom = timesteps ?? sigmas;
    if ([count, timesteps, sigmas].filter((given) => given !== undefined).length !== 1) {
      const rule = "must be given alone: either a number of steps, or timesteps, or sigmas.";
      throw new InvalidRequest("numInferenceSteps", count, rule);
    }
    if (custom) this.#checkCustom(timesteps ? "timesteps" : "sigmas", custom);
    if (sigmas?.length === 1)
      throw new InvalidRequest(
        "sigmas",
        sigmas,
        "must hold at least two noise levels, got one: the final one.",
      );
    const steps = count ?? (timesteps ? timesteps.length : sigmas!.length - 1);
    if (!Number.isSafeInteger(steps) || steps < 1) {
      throw new InvalidRequest("numInferenceSteps", steps, `must be an integer above 0, got ${steps}.`);
    }
    return { ...options, count: steps };
  }

  #checkCustom(name: "timesteps" | "sigmas", values: readonly number[]): void {
    const schedule = name === "timesteps" ? sigmaScheduleOf(this.settings) : undefined;
    if (schedule) {
      const flag = snakeCase(`use${schedule[0]!.toUpperCase()}${schedule.slice(1)}Sigmas`);
      throw new InvalidRequest(name, values, `must not be given with ${flag}.`);
    }
    if (Array.isArray(values) && values.length > 0 && values.every(Number.isFinite)) return;
    throw new InvalidRequest(name, values, `must be a list of numbers, got ${JSON.stringify(values)}.`);
  }

  /** Custom timesteps must be integers that descend from below num_train_timesteps. */
  protected checkDescending(timesteps: readonly number[]): void {
    const most = this.settings.numTrainTimesteps;
    const descends = timesteps.every((t, i) => Number.isInteger(t) && t < (timesteps[i - 1] ?? most));
    if (descends) return;
    const rule = `must be integers that descend from below ${most}, got ${JSON.stringify(timesteps)}.`;
    throw new InvalidRequest("timesteps", timesteps, rule);
  }

  /** Schedulers that step from t to t - k cannot do more steps than there are training timesteps. */
  protected checkAtMostTrained(count: number): void {
    const most = this.settings.numTrainTimesteps;
    if (count <= most) return;
    const rule = `must be at most ${most} (num_train_timesteps), got ${count}.`;
    throw new InvalidRequest("numInferenceSteps", count, rule);
  }

  /** For schedulers that cannot step before the number of steps is known. */
  protected checkHasTimesteps(): void {
    if (this.hasTimesteps) return;
    const rule = "must be set before the first step, got none. Call setTimesteps.";
    throw new InvalidRequest("numInferenceSteps", undefined, rule);
  }

  protected checkSameLength(output: Float32Array, sample: Float32Array): void {
    if (output.length === sample.length) return;
    const rule = `must have as many values as the sample, ${sample.length}, got ${output.length}.`;
    throw new InvalidRequest("modelOutput", output.length, rule);
  }

  /** The config's prediction type, if this class has it. Throws InvalidRequest at the step, as Diffusers does. */
  protected predictionType(...allowed: readonly PredictionType[]): PredictionType {
    const type = this.settings.predictionType;
    if (allowed.includes(type)) return type;
    const names = allowed.map((name) => `"${name}"`).join(" or ");
    throw new InvalidRequest(
      "prediction_type",
      type,
      `must be ${names} for ${this.className}, got "${type}".`,
    );
  }

  /** Standard normal noise, float32[length]. Throws InvalidRequest without a generator: a seed decides the image. */
  protected drawNoise(length: number, { generator }: StepOptions): Float32Array {
    if (generator !== undefined) return randn(length, generator);
    const rule = `must be given: ${this.className} adds noise in its steps.`;
    throw new InvalidRequest("generator", generator, rule);
  }
}
