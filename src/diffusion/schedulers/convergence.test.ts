/** @file Orders of convergence on Gaussian data, for which the ideal denoiser and the end of the ODE are known. */

import { describe, expect, it } from "vitest";
import { DPMSolverMultistepScheduler } from "./dpm-multistep.js";
import { EulerDiscreteScheduler } from "./euler.js";
import { HeunDiscreteScheduler } from "./heun.js";
import { KDPM2DiscreteScheduler } from "./kdpm2.js";
import type { Scheduler } from "./scheduler.js";
import { UniPCMultistepScheduler } from "./unipc.js";

const deviation = 0.5;
const process = {
  beta_schedule: "scaled_linear",
  beta_start: 0.00085,
  beta_end: 0.012,
  use_exponential_sigmas: true,
  final_sigmas_type: "sigma_min",
  lower_order_final: false,
};

/**
 * For clean data N(0, s^2) the noise in x = clean + sigma * noise is expected to be x sigma / (s^2 + sigma^2), and the
 * ODE keeps x / sqrt(s^2 + sigma^2): Karras et al. (arXiv 2206.00364), appendix C. The relative error after n steps.
 */
function errorAfter(scheduler: Scheduler, steps: number, preserving: boolean): number {
  scheduler.setTimesteps(steps);
  const sigmas = scheduler.sigmas!;
  const spread = (sigma: number) => Math.sqrt(deviation ** 2 + sigma ** 2);
  const norm = (sigma: number) => (preserving ? Math.sqrt(1 + sigma ** 2) : 1);
  const calls = scheduler.order === 2 ? 2 * (steps - 1) : steps;
  let x: Float32Array = Float32Array.of(sigmas[0]! / norm(sigmas[0]!));
  for (let i = 0; i < calls; i++) {
    const t = scheduler.timesteps[i]!;
    const input = scheduler.scaleModelInput(x, t)[0]! / x[0]!;
    const sigma = preserving ? sigmas[i]! : Math.sqrt(1 / input ** 2 - 1);
    const noise = (x[0]! * norm(sigma) * sigma) / spread(sigma) ** 2;
    x = scheduler.step(Float32Array.of(noise), t, x).prevSample;
  }
  const end = sigmas[calls]!;
  const exact = (sigmas[0]! * spread(end)) / spread(sigmas[0]!) / norm(end);
  return Math.abs(x[0]! / exact - 1);
}

/** The exponent p in error ~ steps^-p. */
function orderOf(make: () => Scheduler, { preserving = false } = {}): number {
  const [few, many] = [16, 64];
  const ratio = errorAfter(make(), few, preserving) / errorAfter(make(), many, preserving);
  return Math.log(ratio) / Math.log(many / few);
}

function expectOrder(measured: number, order: number): void {
  expect(Math.abs(measured - order), `measured ${measured}`).toBeLessThan(0.15);
}

describe("on Gaussian data the error falls", () => {
  it("with the number of steps for Euler", () => {
    expectOrder(
      orderOf(() => new EulerDiscreteScheduler(process)),
      1,
    );
  });

  it("with its square for Heun", () => {
    expectOrder(
      orderOf(() => new HeunDiscreteScheduler(process)),
      2,
    );
  });

  it("with its square for KDPM2", () => {
    expectOrder(
      orderOf(() => new KDPM2DiscreteScheduler(process)),
      2,
    );
  });

  it("with the number of steps for DPM-Solver++ of order 1", () => {
    const make = () => new DPMSolverMultistepScheduler(process, { solverOrder: 1 });
    expectOrder(orderOf(make, { preserving: true }), 1);
  });

  it("with its square for DPM-Solver++ 2M", () => {
    const make = () => new DPMSolverMultistepScheduler(process, { solverOrder: 2 });
    expectOrder(orderOf(make, { preserving: true }), 2);
  });

  it("with its cube for UniPC of order 2, whose corrector adds one", () => {
    const make = () => new UniPCMultistepScheduler(process, { solverOrder: 2 });
    expectOrder(orderOf(make, { preserving: true }), 3);
  });
});
