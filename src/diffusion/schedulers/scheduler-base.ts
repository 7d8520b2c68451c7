/** @file What all schedulers share: config, noise schedule, place in the timesteps, checks of arguments. No algorithm. */

import { InvalidRequest } from "../../errors.js";
import { type NoiseSchedule, noiseSchedule } from "../betas.js";
import { randn } from "../random.js";
import { readConfig, type SchedulerConfig, type SchedulerKind, snakeCase } from "./config.js";
import type { PredictionType, SchedulerSettings } from "./config-fields.js";
import type { Scheduler, StepOptions, StepResult, TimestepOptions } from "./scheduler.js";
import { sigmaScheduleOf } from "./sigmas.js";

type Fields = Readonly<Record<string, unknown>>;

/** What setTimesteps was asked for, checked: `count` network evaluations of order 1, or custom values. */
export type CheckedArguments = TimestepOptions & { readonly count: number };

export abstract class BaseScheduler implements Scheduler {
  readonly className: string;
  readonly config: SchedulerConfig;
  readonly order: number = 1;
  readonly acceptsEta: boolean = false;
  timesteps: readonly number[];
  sigmas: readonly number[] | undefined = undefined;
  protected readonly settings: SchedulerSettings;
  protected readonly schedule: NoiseSchedule;
  protected stepIndex: number | undefined = undefined;
  protected beginIndex: number | undefined = undefined;
  protected isSet = false;

  /** `source` is a parsed scheduler_config.json or another scheduler's config; `overrides` replace its fields. */
  constructor(kind: SchedulerKind, source: Fields, overrides: Fields) {
    const { config, settings } = readConfig(kind, source, overrides);
    this.className = kind.className;
    this.config = config;
    this.settings = settings;
    this.schedule = noiseSchedule(settings);
    const last = settings.numTrainTimesteps - 1;
    this.timesteps = Array.from({ length: settings.numTrainTimesteps }, (_, i) => last - i);
  }

  /** A scheduler of this class from a file's config or another scheduler's, with some fields replaced. */
  static fromConfig<T>(
    this: new (
      source: Fields,
      overrides: Fields,
    ) => T,
    config: Fields,
    overrides: Fields = {},
  ): T {
    return new this(config, overrides);
  }

  abstract readonly initNoiseSigma: number;
  abstract setTimesteps(numInferenceSteps: number | undefined, options?: TimestepOptions): void;
  abstract scaleModelInput(sample: Float32Array, timestep: number): Float32Array;
  abstract step(
    output: Float32Array,
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

  /** Adopts a new schedule and forgets the place in the old one. */
  protected begin(timesteps: readonly number[], sigmas?: readonly number[]): void {
    this.timesteps = Object.freeze([...timesteps]);
    this.sigmas = sigmas && Object.freeze(Array.from(sigmas, Math.fround));
    this.stepIndex = undefined;
    this.beginIndex = undefined;
    this.isSet = true;
  }

  /** Refuses a step of a scheduler whose stride depends on the number of steps, before that is known. */
  protected refuseUnset(): void {
    if (this.isSet) return;
    const rule = "must be set before the first step, got none. Call setTimesteps.";
    throw new InvalidRequest("numInferenceSteps", undefined, rule);
  }

  /** Custom timesteps must be integers that descend from below num_train_timesteps. */
  protected refuseNotDescending(timesteps: readonly number[]): void {
    const most = this.settings.numTrainTimesteps;
    const descends = timesteps.every((t, i) => Number.isInteger(t) && t < (timesteps[i - 1] ?? most));
    if (descends) return;
    const rule = `must be integers that descend from below ${most}, got ${JSON.stringify(timesteps)}.`;
    throw new InvalidRequest("timesteps", timesteps, rule);
  }

  /** The place of the coming step: counted from the first step on, at first looked up. */
  protected place(timestep: number): number {
    this.stepIndex ??= this.beginIndex ?? this.indexOf(timestep);
    if (this.stepIndex >= this.timesteps.length) {
      const rule = `got one more than the ${this.timesteps.length} of the schedule. Call setTimesteps first.`;
      throw new InvalidRequest("timestep", timestep, rule);
    }
    return this.stepIndex;
  }

  /** The place addNoise looks at: the current one in inpainting, the first one in image-to-image. */
  protected noiseIndex(timestep: number): number {
    if (this.beginIndex === undefined) return this.indexOf(timestep);
    return Math.min(this.stepIndex ?? this.beginIndex, this.timesteps.length);
  }

  /** A timestep that occurs twice means its second place, lest image-to-image skip a sigma. */
  protected indexOf(timestep: number): number {
    const exact = this.nearest(timestep);
    const first = this.timesteps.indexOf(exact);
    return Math.max(first, this.timesteps.indexOf(exact, first + 1));
  }

  /** Fractional timesteps may have been through float32 or a decimal on their way back here. */
  private nearest(timestep: number): number {
    if (this.timesteps.includes(timestep)) return timestep;
    const distance = (t: number) => Math.abs(t - timestep);
    const near = this.timesteps.reduce((a, b) => (distance(b) < distance(a) ? b : a));
    if (distance(near) < 1e-3) return near;
    throw new InvalidRequest("timestep", timestep, `must be one of scheduler.timesteps, got ${timestep}.`);
  }

  /** Checks a call of setTimesteps; `accepts` are the options this class has. Throws InvalidRequest. */
  protected checked(
    count: number | undefined,
    options: TimestepOptions,
    accepts: readonly (keyof TimestepOptions)[] = [],
  ): CheckedArguments {
    for (const [name, value] of Object.entries(options)) {
      if (value === undefined || accepts.includes(name as keyof TimestepOptions)) continue;
      throw new InvalidRequest(name, value, `is not an option of ${this.className}'s setTimesteps.`);
    }
    const { timesteps, sigmas } = options;
    const custom = timesteps ?? sigmas;
    if ([count, timesteps, sigmas].filter((given) => given !== undefined).length !== 1) {
      const rule = "must be given alone: either a number of steps, or timesteps, or sigmas.";
      throw new InvalidRequest("numInferenceSteps", count, rule);
    }
    if (custom) this.checkCustom(timesteps ? "timesteps" : "sigmas", custom);
    const steps = count ?? (timesteps ? timesteps.length : sigmas!.length - 1);
    if (!Number.isSafeInteger(steps) || steps < 1) {
      throw new InvalidRequest("numInferenceSteps", steps, `must be an integer above 0, got ${steps}.`);
    }
    return { ...options, count: steps };
  }

  private checkCustom(name: "timesteps" | "sigmas", values: readonly number[]): void {
    const shape = name === "timesteps" ? sigmaScheduleOf(this.settings) : undefined;
    if (shape) {
      const rule = `must not be given with ${snakeCase(`use${shape[0]!.toUpperCase()}${shape.slice(1)}Sigmas`)}.`;
      throw new InvalidRequest(name, values, rule);
    }
    if (values.length > 0 && values.every(Number.isFinite)) return;
    throw new InvalidRequest(name, values, `must be a list of numbers, got ${JSON.stringify(values)}.`);
  }

  /** Refuses more steps than training timesteps, as Diffusers does for the schedulers that step from t to t - k. */
  protected refuseMoreThanTrained(count: number): void {
    const most = this.settings.numTrainTimesteps;
    if (count <= most) return;
    throw new InvalidRequest(
      "numInferenceSteps",
      count,
      `must be at most ${most} (num_train_timesteps), got ${count}.`,
    );
  }

  /** The network's kind of output, if this class can use it; Diffusers refuses the others at the step too. */
  protected prediction(...allowed: readonly PredictionType[]): PredictionType {
    const type = this.settings.predictionType;
    if (allowed.includes(type)) return type;
    const rule = `must be ${allowed.map((name) => `"${name}"`).join(" or ")} for ${this.className}, got "${type}".`;
    throw new InvalidRequest("prediction_type", type, rule);
  }

  /** Standard normal noise for a step. Throws InvalidRequest without a generator: a seed must decide the image. */
  protected noise(length: number, { generator }: StepOptions): Float32Array {
    if (generator !== undefined) return randn(length, generator);
    throw new InvalidRequest(
      "generator",
      generator,
      `must be given: ${this.className} draws noise in its steps.`,
    );
  }

  protected refuseUnlike(output: Float32Array, sample: Float32Array): void {
    if (output.length === sample.length) return;
    const rule = `must have as many values as the sample, ${sample.length}, got ${output.length}.`;
    throw new InvalidRequest("modelOutput", output.length, rule);
  }
}
