/** @file The forward process: betas and their cumulative product, in float32 as Diffusers keeps them. */

import { f32, linspace32 } from "./arithmetic.js";

/** How betas go from beta_start to beta_end. */
export type BetaSchedule = "linear" | "scaled_linear" | "squaredcos_cap_v2" | "exp" | "sigmoid";

export const betaSchedules: readonly BetaSchedule[] = [
  "linear",
  "scaled_linear",
  "squaredcos_cap_v2",
  "exp",
  "sigmoid",
];

/** The fields of a scheduler's config that decide its betas. */
export type BetaSettings = {
  readonly numTrainTimesteps: number;
  readonly betaStart: number;
  readonly betaEnd: number;
  readonly betaSchedule: BetaSchedule;
  readonly trainedBetas: readonly number[] | null;
  readonly rescaleBetasZeroSnr: boolean;
};

/** Betas and alpha-bar (the cumulative product of 1 - beta) at every training timestep, float32. */
export type NoiseSchedule = { readonly betas: Float32Array; readonly alphasCumprod: Float32Array };

export function noiseSchedule(settings: BetaSettings): NoiseSchedule {
  const raw = rawBetas(settings);
  const betas = settings.rescaleBetasZeroSnr ? rescaleZeroTerminalSnr(raw) : raw;
  return { betas, alphasCumprod: cumulativeProduct(betas) };
}

function rawBetas(settings: BetaSettings): Float32Array {
  const { betaStart, betaEnd, betaSchedule, numTrainTimesteps: count, trainedBetas } = settings;
  if (trainedBetas !== null) return Float32Array.from(trainedBetas);
  switch (betaSchedule) {
    case "linear":
      return linspace32(betaStart, betaEnd, count);
    case "scaled_linear":
      return linspace32(Math.sqrt(betaStart), Math.sqrt(betaEnd), count).map((root) => root * root);
    case "squaredcos_cap_v2":
      return betasForAlphaBar(count, (t) => Math.cos((((t + 0.008) / 1.008) * Math.PI) / 2) ** 2);
    case "exp":
      return betasForAlphaBar(count, (t) => Math.exp(t * -12));
    case "sigmoid": {
      const span = f32(betaEnd - betaStart);
      return linspace32(-6, 6, count).map((x) => f32(f32(1 / (1 + Math.exp(-x))) * span) + f32(betaStart));
    }
  }
  return betaSchedule satisfies never;
}

/** Nichol and Dhariwal, "Improved Denoising Diffusion Probabilistic Models", section 3.2: betas capped at 0.999. */
function betasForAlphaBar(count: number, alphaBar: (t: number) => number): Float32Array {
  return Float32Array.from({ length: count }, (_, i) =>
    Math.min(1 - alphaBar((i + 1) / count) / alphaBar(i / count), 0.999),
  );
}

/** torch.cumprod adds up its product in float64 and rounds each result. */
function cumulativeProduct(betas: Float32Array): Float32Array {
  let product = 1;
  return betas.map((beta) => (product *= f32(1 - beta)));
}

/** Lin et al., "Common Diffusion Noise Schedules and Sample Steps are Flawed", algorithm 1: the last SNR becomes 0. */
function rescaleZeroTerminalSnr(betas: Float32Array): Float32Array {
  const roots = cumulativeProduct(betas).map(Math.sqrt);
  const [first, last] = [roots[0]!, roots[roots.length - 1]!];
  const scale = f32(first / f32(first - last));
  const alphaBar = roots.map((root) => f32(f32(root - last) * scale) ** 2);
  return alphaBar.map((value, i) => 1 - (i === 0 ? value : f32(value / alphaBar[i - 1]!)));
}
