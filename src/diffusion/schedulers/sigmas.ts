/** @file Sigma schedules (Karras, exponential, beta, lu, flow), sigma at training timesteps, and the timestep of a sigma. */

import { f32, interpolate, linspace, linspace32, log32 } from "../arithmetic.js";
import { betaQuantile } from "../beta-quantile.js";
import type { NoiseSchedule } from "../betas.js";
import type { SchedulerSettings } from "./config-fields.js";

/**
 * Alpha-bar with which all sigmas are finite: rescaling to zero terminal SNR makes the last one 0, which Diffusers
 * replaces by the smallest float16.
 */
export function finiteAlphas(
  { rescaleBetasZeroSnr }: SchedulerSettings,
  { alphasCumprod }: NoiseSchedule,
): Float32Array {
  return rescaleBetasZeroSnr ? alphasCumprod.with(-1, 2 ** -24) : alphasCumprod;
}

/** sqrt((1 - alphaBar) / alphaBar) at every training timestep, ascending, float32. */
export function trainingSigmas(alphasCumprod: Float32Array): Float32Array {
  return alphasCumprod.map((alpha) => Math.sqrt(f32(f32(1 - alpha) / alpha)));
}

/** Sigmas at (possibly fractional) timesteps, interpolated linearly. */
export function sigmasAt(timesteps: readonly number[], sigmas: Float32Array): number[] {
  return timesteps.map((t) => interpolate(t, sigmas));
}

/** The fractional timestep whose sigma this is, interpolated in log sigma. `single` computes in float32. */
export function timestepOfSigma(sigma: number, logSigmas: Float32Array, { single = false } = {}): number {
  const level = single ? log32(Math.max(sigma, f32(1e-10))) : Math.log(Math.max(sigma, 1e-10));
  const round = single ? f32 : (x: number) => x;
  const last = logSigmas.findLastIndex((log) => level >= log);
  const low = Math.min(Math.max(last, 0), logSigmas.length - 2);
  const [from, to] = [logSigmas[low]!, logSigmas[low + 1]!];
  const weight = round(round(from - level) / round(from - to));
  const w = Math.min(Math.max(weight, 0), 1);
  return (1 - w) * low + w * (low + 1);
}

/** Karras et al., "Elucidating the Design Space of Diffusion-Based Generative Models", equation 5, rho 7. */
function karras(min: number, max: number, count: number): number[] {
  const rho = 7;
  const [a, b] = [max ** (1 / rho), min ** (1 / rho)];
  return linspace(0, 1, count).map((ramp) => (a + ramp * (b - a)) ** rho);
}

function exponential(min: number, max: number, count: number): number[] {
  return linspace(Math.log(max), Math.log(min), count).map(Math.exp);
}

/** Lee et al., "Beta Sampling is All You Need" (arXiv 2407.12173): quantiles of Beta(0.6, 0.6). */
function betaSpaced(min: number, max: number, count: number): number[] {
  return linspace(0, 1, count).map((share) => min + betaQuantile(1 - share) * (max - min));
}

/** How sigmas are spaced: use_karras_sigmas, use_exponential_sigmas or use_beta_sigmas. */
export type SigmaSchedule = "karras" | "exponential" | "beta";

/** The sigma schedule of a config; undefined for the sigmas of evenly spaced timesteps. */
export function sigmaScheduleOf(settings: SchedulerSettings): SigmaSchedule | undefined {
  if (settings.useKarrasSigmas) return "karras";
  if (settings.useExponentialSigmas) return "exponential";
  return settings.useBetaSigmas ? "beta" : undefined;
}

/** `count` sigmas from `max` down to `min`. */
export function sigmaSchedule(schedule: SigmaSchedule, min: number, max: number, count: number): number[] {
  switch (schedule) {
    case "karras":
      return karras(min, max, count);
    case "exponential":
      return exponential(min, max, count);
    case "beta":
      return betaSpaced(min, max, count);
  }
  return schedule satisfies never;
}

/** Lu et al., "DPM-Solver++", section 5: log sigmas spaced evenly (use_lu_lambdas). */
export function luLambdas(logMin: number, logMax: number, count: number): number[] {
  return linspace(0, 1, count).map((ramp) => Math.exp(logMax + ramp * (logMin - logMax)));
}

/** Shifted sigmas of flow matching (use_flow_sigmas, flow_shift), between 0 and 1, descending. */
export function flowSigmas(shift: number, numTrainTimesteps: number, count: number): number[] {
  const even = linspace(1, 1 / numTrainTimesteps, count + 1).map((alpha) => 1 - alpha);
  const shifted = even.map((sigma) => (shift * sigma) / (1 + (shift - 1) * sigma));
  return shifted.reverse().slice(0, -1);
}

/** The same, beginning at 1 instead of ending at 0 (UniPC); a first sigma of 1 is 1 - 1e-6, as its logarithm is needed. */
export function flowSigmasFromOne(shift: number, numTrainTimesteps: number, count: number): number[] {
  const even = linspace(1, 1 / numTrainTimesteps, count + 1).slice(0, -1);
  const shifted = even.map((sigma) => (shift * sigma) / (1 + (shift - 1) * sigma));
  return shifted.map((sigma, i) => (i === 0 && Math.abs(sigma - 1) < 1e-6 ? sigma - 1e-6 : sigma));
}

/** Euler's interpolation_type "log_linear": `count + 1` sigmas over the whole training range, float32. */
export function logLinearSigmas(logSigmas: Float32Array, count: number): number[] {
  const logs = linspace32(logSigmas[logSigmas.length - 1]!, logSigmas[0]!, count + 1);
  return Array.from(logs, (log) => f32(Math.exp(log)));
}
