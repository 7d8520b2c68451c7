/** @file The PNDM scheduler (PLMS): Runge-Kutta steps first (unless skipped), then a linear multistep of four outputs. */

import { InvalidRequest } from "../../errors.js";
import { f32 } from "../arithmetic.js";
import { predictClean, predictNoise } from "../prediction.js";
import { spacedTimesteps } from "../spacing.js";
import { type Term, weightedSum } from "../vector.js";
import { AlphaScheduler } from "./alpha-scheduler.js";
import type { SchedulerFields } from "./config.js";
import { commonDefaults, type SchedulerSettings } from "./config-fields.js";
import type { StepResult, TimestepOptions } from "./scheduler.js";

const defaults = {
  ...commonDefaults,
  skipPrkSteps: false,
  setAlphaToOne: false,
  timestepSpacing: "leading",
  stepsOffset: 0,
} as const satisfies Partial<SchedulerSettings>;

/** Adams-Bashforth weights of the latest outputs, the latest first (Liu et al., equation 12 and its starts). */
const multistep = [
  [1],
  [3 / 2, -1 / 2],
  [23 / 12, -16 / 12, 5 / 12],
  [55 / 24, -59 / 24, 37 / 24, -9 / 24],
] as const;

const rungeKutta = [1 / 6, 1 / 3, 1 / 3, 1 / 6] as const;

/** Liu et al., "Pseudo Numerical Methods for Diffusion Models on Manifolds" (arXiv 2202.09778), algorithm 2. */
export class PNDMScheduler extends AlphaScheduler {
  #stride = 1;
  #counter = 0;
  #warmup: readonly number[] = [];
  /** Network outputs, the latest first. */
  #outputs: readonly Float32Array[] = [];
  /** Weighted outputs of the current Runge-Kutta step. */
  #slopes: readonly Term[] = [];
  #origin: Float32Array | undefined = undefined;

  constructor(source: SchedulerFields = {}, overrides: SchedulerFields = {}) {
    super({ className: "PNDMScheduler", defaults }, source, overrides);
  }

  setTimesteps(numInferenceSteps: number | undefined, options: TimestepOptions = {}): void {
    const { count } = this.checkArguments(numInferenceSteps, options);
    const { skipPrkSteps, numTrainTimesteps } = this.settings;
    const spaced = spacedTimesteps(this.settings, count, { rounded: true });
    this.#stride = Math.floor(numTrainTimesteps / count);
    if (!skipPrkSteps && count < 4) {
      const rule = `must be at least 4 for PNDMScheduler with skip_prk_steps false, got ${count}.`;
      throw new InvalidRequest("numInferenceSteps", count, rule);
    }
    this.#warmup = skipPrkSteps ? [] : rungeKuttaTimesteps(spaced, Math.floor(this.#stride / 2));
    const [first, second, ...rest] = spaced;
    const plain = second === undefined ? [first!] : [first!, second, second, ...rest];
    this.setSchedule(skipPrkSteps ? plain : [...this.#warmup, ...spaced.slice(3)]);
    this.#counter = 0;
    this.#outputs = [];
    this.#slopes = [];
    this.#origin = undefined;
  }

  step(output: Float32Array, timestep: number, sample: Float32Array): StepResult {
    this.checkHasTimesteps();
    this.checkSameLength(output, sample);
    const type = this.predictionType("epsilon", "v_prediction");
    const predOriginalSample = predictClean(type, output, sample, this.level(timestep));
    const isWarmup = this.#counter < this.#warmup.length;
    const prevSample = isWarmup
      ? this.#warmupStep(output, timestep, sample)
      : this.#multistepStep(output, timestep, sample);
    this.#counter += 1;
    return { prevSample, predOriginalSample };
  }

  /** Four calls from the same origin: its slope, twice halfway, and at the end. */
  #warmupStep(output: Float32Array, timestep: number, sample: Float32Array): Float32Array {
    const call = this.#counter % 4;
    const from = this.#warmup[this.#counter - call]!;
    const to = timestep - (this.#counter % 2 === 0 ? Math.floor(this.#stride / 2) : 0);
    if (call === 0) {
      this.#outputs = [output, ...this.#outputs].slice(0, 4);
      this.#origin = sample;
      this.#slopes = [];
    }
    this.#slopes = [...this.#slopes, [rungeKutta[call]!, output]];
    return this.#transfer(
      this.#origin ?? sample,
      from,
      to,
      call === 3 ? weightedSum(...this.#slopes) : output,
    );
  }

  #multistepStep(output: Float32Array, timestep: number, sample: Float32Array): Float32Array {
    if (!this.settings.skipPrkSteps && this.#outputs.length < 3) {
      throw new InvalidRequest(
        "timestep",
        timestep,
        "must come after the Runge-Kutta steps. Begin at the first.",
      );
    }
    if (this.#counter === 1) {
      // The second call repeats the first step with the mean of both ends' outputs.
      const [before] = this.#outputs;
      const mean = weightedSum([0.5, output], [0.5, before!]);
      return this.#transfer(this.#origin!, timestep + this.#stride, timestep, mean);
    }
    if (this.#counter === 0) this.#origin = sample;
    this.#outputs = [output, ...this.#outputs].slice(0, 4);
    const weights = multistep[this.#outputs.length - 1]!;
    const slope = weightedSum(...this.#outputs.map((e, i): Term => [weights[i]!, e]));
    return this.#transfer(sample, timestep, timestep - this.#stride, slope);
  }

  /** Equation 11 of the paper: DDIM's step, written so that it needs no division by sigma. */
  #transfer(sample: Float32Array, from: number, to: number, output: Float32Array): Float32Array {
    const type = this.predictionType("epsilon", "v_prediction");
    const [alphaFrom, alphaTo] = [this.alphaBar(from), this.alphaBarBefore(to)];
    const noise = predictNoise(type, output, sample, this.level(from));
    const divisor =
      alphaFrom * Math.sqrt(f32(1 - alphaTo)) + Math.sqrt(alphaFrom * f32(1 - alphaFrom) * alphaTo);
    const noiseFactor = -f32(alphaTo - alphaFrom) / divisor;
    return weightedSum([Math.sqrt(alphaTo / alphaFrom), sample], [noiseFactor, noise]);
  }
}

/** Three steps of four calls: at t, twice halfway, at the next t. */
function rungeKuttaTimesteps(descending: readonly number[], half: number): number[] {
  return descending.slice(0, 3).flatMap((t, i) => {
    const next = descending[i + 1]!;
    return [t, next + half, next + half, next];
  });
}
