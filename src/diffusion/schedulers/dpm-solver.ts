/** @file The update formulas of DPM-Solver and DPM-Solver++, deterministic and stochastic. */

import { InvalidRequest } from "../../errors.js";
import { f32 } from "../arithmetic.js";
import type { Level } from "../prediction.js";
import { type Term, weightedSum } from "../vector.js";
import type { SchedulerSettings } from "./config-fields.js";
import { lambdaOf } from "./lambda-scheduler.js";

export type Algorithm = Exclude<SchedulerSettings["algorithmType"], "deis">;

/** What the factors of one update depend on. */
export type Update = {
  readonly algorithm: Algorithm;
  /** "heun" or "midpoint"; the third order multistep update has only the former. */
  readonly solver: SchedulerSettings["solverType"];
  readonly order: number;
  /** The level that `sample` has, and the one the update goes to. */
  readonly from: Level;
  readonly to: Level;
};

/** Factors of the sample, of the model's value, of its first and second difference, and of the noise. */
type Factors = {
  readonly sample: number;
  readonly value: number;
  readonly first: number;
  readonly second: number;
  readonly noise: number;
};

/**
 * Lu et al., "DPM-Solver" (arXiv 2206.00927) and "DPM-Solver++" (arXiv 2211.01095), appendices A and B:
 * the sample at `to`, from the model's value and its divided differences (as many as the order needs).
 */
export function dpmUpdate(
  update: Update,
  sample: Float32Array,
  differences: readonly Float32Array[],
  noise: Float32Array | undefined,
): Float32Array {
  const factors = factorsOf(update);
  const [value, first, second] = differences;
  const terms: Term[] = [
    [f32(factors.sample), sample],
    [f32(factors.value), value!],
  ];
  if (first) terms.push([f32(factors.first), first]);
  if (second) terms.push([f32(factors.second), second]);
  if (noise) terms.push([f32(factors.noise), noise]);
  return weightedSum(...terms);
}

function factorsOf(update: Update): Factors {
  const { algorithm, from, to } = update;
  const h = f32(lambdaOf(to) - lambdaOf(from));
  const ratio = f32(to.sigma / from.sigma);
  const signal = f32(to.alpha / from.alpha);
  switch (algorithm) {
    case "dpmsolver++": {
      const { value, first, second } = weights(update, -h);
      const a = -to.alpha;
      return { sample: ratio, value: a * value, first: a * first, second: a * second, noise: 0 };
    }
    case "dpmsolver": {
      const { value, first, second } = weights(update, h);
      const s = -to.sigma;
      return { sample: signal, value: s * value, first: s * first, second: s * second, noise: 0 };
    }
    case "sde-dpmsolver++": {
      const { value, first, second } = weights(update, -2 * h);
      const a = -to.alpha;
      const noise = to.sigma * f32(Math.sqrt(f32(1 - f32(Math.exp(-2 * h)))));
      const decayed = ratio * f32(Math.exp(-h));
      return { sample: decayed, value: a * value, first: a * first, second: a * second, noise };
    }
    case "sde-dpmsolver": {
      if (update.order > 2) {
        const rule = `must be 1 or 2 with algorithm_type "sde-dpmsolver", got ${update.order}.`;
        throw new InvalidRequest("solver_order", update.order, rule);
      }
      const { value, first } = weights(update, h);
      const s = -2 * to.sigma;
      const noise = to.sigma * f32(Math.sqrt(f32(f32(Math.exp(2 * h)) - 1)));
      return { sample: signal, value: s * value, first: s * first, second: 0, noise };
    }
  }
  return algorithm satisfies never;
}

/**
 * Integrals of exp(z) against 1, the linear and the quadratic term, in float32, as their cancellation at small
 * steps is part of Diffusers' numbers.
 */
function weights({ algorithm, solver, order }: Update, z: number) {
  const value = f32(f32(Math.exp(z)) - 1);
  const linear = f32(f32(value / z) - 1);
  const first = order === 2 && solver === "midpoint" ? 0.5 * value : linear;
  const quadratic = f32(f32(value - z) / f32(z * z));
  // Diffusers adds the half in the stochastic solver, where the integral would subtract it.
  const second = f32(quadratic + (algorithm === "sde-dpmsolver++" ? 0.5 : -0.5));
  return { value, first, second };
}
