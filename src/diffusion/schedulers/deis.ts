/** @file The DEIS scheduler: a multistep exponential integrator with polynomials in log rho. */

import { InvalidRequest } from "../../errors.js";
import { f32, log32 } from "../arithmetic.js";
import { noiseOf } from "../prediction.js";
import { solverTimesteps } from "../spacing.js";
import { type Term, weightedSum } from "../vector.js";
import type { SchedulerFields, SchedulerKind } from "./config.js";
import type { SchedulerSettings } from "./config-fields.js";
import { dpmUpdate } from "./dpm-solver.js";
import { LambdaScheduler, solverDefaults } from "./lambda-scheduler.js";
import type { StepOptions, StepResult, TimestepOptions } from "./scheduler.js";

const defaults = {
  ...solverDefaults,
  algorithmType: "deis",
  solverType: "logrho",
  lowerOrderFinal: true,
  timestepSpacing: "linspace",
  stepsOffset: 0,
} as const satisfies Partial<SchedulerSettings>;

const kind: SchedulerKind = {
  className: "DEISMultistepScheduler",
  defaults,
  adapt: ({ algorithmType }) => {
    if (algorithmType.startsWith("sde")) {
      const rule = `must be "deis" for DEISMultistepScheduler, got "${algorithmType}".`;
      throw new InvalidRequest("algorithm_type", algorithmType, rule);
    }
    return { algorithmType: "deis", solverType: "logrho" };
  },
};

/** Zhang and Chen, "Fast Sampling of Diffusion Models with Exponential Integrator" (arXiv 2204.13902), tAB-DEIS. */
export class DEISMultistepScheduler extends LambdaScheduler {
  /** Predicted noises, the latest first. */
  #values: readonly Float32Array[] = [];

  constructor(source: SchedulerFields = {}, overrides: SchedulerFields = {}) {
    super(kind, source, overrides);
  }

  /** The final sigma is always the smallest one, never 0: its logarithm is needed. */
  setTimesteps(numInferenceSteps: number | undefined, options: TimestepOptions = {}): void {
    const { count } = this.checkArguments(numInferenceSteps, options);
    const rules = { endsOnSchedule: true, rounds: true, finalSigmasType: "sigma_min" } as const;
    this.setSigmaSchedule(solverTimesteps(this.settings, count), count, rules);
    this.#values = [];
  }

  step(output: Float32Array, timestep: number, sample: Float32Array, options: StepOptions = {}): StepResult {
    this.checkHasTimesteps();
    this.checkSameLength(output, sample);
    const type = this.predictionType("epsilon", "v_prediction", "sample", "flow_prediction");
    const index = this.stepIndexFor(timestep);
    const clean = this.predictCleanAt(index, type, output, sample, options.batch);
    const level = this.levelAt(index);
    // A flow network's noise is scaled by the schedule's own sigma, also where the levels preserve variance.
    const noise = noiseOf(
      clean,
      sample,
      type === "flow_prediction" ? { ...level, sigma: this.sigma(index) } : level,
    );
    this.#values = [noise, ...this.#values].slice(0, this.settings.solverOrder);
    const order = Math.min(this.#values.length, this.#highestOrder(index));
    const prevSample =
      order === 1 ? this.#firstOrder(index, sample) : this.#higherOrder(index, order, sample);
    this.stepIndex = index + 1;
    return { prevSample, predOriginalSample: clean };
  }

  #highestOrder(index: number): number {
    const { solverOrder, lowerOrderFinal } = this.settings;
    const left = this.timesteps.length - index;
    if (!lowerOrderFinal || this.timesteps.length >= 15) return solverOrder;
    return Math.min(solverOrder, left);
  }

  /** At first order DEIS is DPM-Solver-1, that is DDIM. */
  #firstOrder(index: number, sample: Float32Array): Float32Array {
    const [from, to] = [this.levelAt(index), this.levelAt(index + 1)];
    const update = { algorithm: "dpmsolver", solver: "midpoint", order: 1, from, to } as const;
    return dpmUpdate(update, sample, [this.#values[0]!], undefined);
  }

  /** Integrates the Lagrange polynomials in log rho = log(sigma / alpha) from the current rho to the next. */
  #higherOrder(index: number, order: number, sample: Float32Array): Float32Array {
    const [from, to] = [this.levelAt(index), this.levelAt(index + 1)];
    const rho = (k: number) => {
      const { alpha, sigma } = this.levelAt(k);
      return f32(sigma / alpha);
    };
    const nodes = Array.from({ length: order }, (_, k) => log32(rho(index - k)));
    const terms = nodes.map((node, k): Term => {
      const others = nodes.filter((_, j) => j !== k);
      const factor = f32(integral(rho(index + 1), node, others) - integral(rho(index), node, others));
      return [factor, this.#values[k]!];
    });
    return weightedSum([1 / from.alpha, sample], ...terms).map((x) => to.alpha * x);
  }
}

/**
 * Antiderivative at `rho` of the polynomial in log rho that is 1 at `node` and 0 at the one or two others. In float32,
 * term by term: two such values nearly cancel, and the rounding that is left over is part of Diffusers' samples.
 */
function integral(rho: number, node: number, others: readonly number[]): number {
  const log = log32(rho);
  const [c, d] = others;
  if (d === undefined) return f32(f32(rho * f32(f32(log - c!) - 1)) / f32(node - c!));
  const parts = [-f32(d * log), d, f32(log * log), -f32(2 * log), 2];
  const product = f32(c! * f32(f32(d - log) + 1));
  const numerator = f32(rho * parts.reduce((sum, part) => f32(sum + part), product));
  return f32(numerator / f32(f32(node - c!) * f32(node - d)));
}
