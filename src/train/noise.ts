/** @file The forward process in training: noise and timesteps drawn, noisy latents, targets, and min-SNR weights. */

import { f32 } from "../diffusion/arithmetic.js";
import { noiseSchedule } from "../diffusion/betas.js";
import { levelOfAlphaBar, velocity } from "../diffusion/prediction.js";
import type { Generator } from "../diffusion/random.js";
import { readConfig, type SchedulerKind } from "../diffusion/schedulers/config.js";
import { commonDefaults } from "../diffusion/schedulers/config-fields.js";
import { weightedSum } from "../diffusion/vector.js";
import { InvalidRequest } from "../errors.js";
import type { JsonObject } from "../files/json.js";

export const targetTypes = ["epsilon", "v_prediction"] as const;
export type TargetType = (typeof targetTypes)[number];

/** `alphasCumprod`: [timesteps], float32 as Diffusers keeps it; `target`: what the network is to predict. */
export type TrainingNoise = { readonly alphasCumprod: Float32Array; readonly target: TargetType };

/** Diffusers trains with DDPMScheduler, whichever scheduler the teacher's folder names. */
const ddpm: SchedulerKind = {
  className: "DDPMScheduler",
  defaults: { ...commonDefaults, rescaleBetasZeroSnr: false },
  extraBetaSchedule: "sigmoid",
};

type Overrides = { target?: TargetType; rescaleBetasZeroSnr?: boolean };

/**
 * The noise of a teacher's `scheduler_config.json`. `rescaleBetasZeroSnr` makes the last timestep pure noise
 * (Lin et al. 2024, algorithm 1). Throws InvalidRequest by field, also for a prediction type that has no
 * target here.
 */
export function trainingNoise(config: JsonObject, overrides: Overrides = {}): TrainingNoise {
  const { settings } = readNoise(config, overrides);
  const found = targetTypes.find((type) => type === settings.predictionType);
  if (!found) {
    const rule = `must be "epsilon" or "v_prediction" to be trained, got "${settings.predictionType}".`;
    throw new InvalidRequest("prediction_type", settings.predictionType, rule);
  }
  return { alphasCumprod: noiseSchedule(settings).alphasCumprod, target: found };
}

const readNoise = (config: JsonObject, { target, rescaleBetasZeroSnr }: Overrides) =>
  readConfig(ddpm, config, {
    ...(target && { predictionType: target }),
    ...(rescaleBetasZeroSnr && { rescaleBetasZeroSnr }),
  });

/** The fields of a `scheduler_config.json` that decide the noise, in its spelling. */
export type NoiseFields = JsonObject;

/** Those of a run, in full: another class of scheduler may have other defaults. */
export function noiseFields(
  config: JsonObject,
  { target }: TrainingNoise,
  overrides: Overrides = {},
): NoiseFields {
  const { settings } = readNoise(config, overrides);
  return {
    num_train_timesteps: settings.numTrainTimesteps,
    beta_start: settings.betaStart,
    beta_end: settings.betaEnd,
    beta_schedule: settings.betaSchedule,
    trained_betas: settings.trainedBetas && [...settings.trainedBetas],
    prediction_type: target,
    rescale_betas_zero_snr: settings.rescaleBetasZeroSnr,
  };
}

/**
 * What a trained model's `scheduler_config.json` must say besides what its teacher's says. A model of zero terminal
 * SNR must be sampled from the last timestep on (Lin et al. 2024, section 3.3).
 */
export const schedulerFields = ({
  predictionType,
  rescaleBetasZeroSnr,
}: {
  predictionType: TargetType | null;
  rescaleBetasZeroSnr: boolean;
}): JsonObject => ({
  ...(predictionType !== null && { prediction_type: predictionType }),
  ...(rescaleBetasZeroSnr && { rescale_betas_zero_snr: true, timestep_spacing: "trailing" }),
});

const level = ({ alphasCumprod }: TrainingNoise, timestep: number) => {
  const alphaBar = alphasCumprod[timestep];
  if (alphaBar === undefined) throw new Error(`internal: no timestep ${timestep} of ${alphasCumprod.length}`);
  return levelOfAlphaBar(alphaBar);
};

/** sqrt(acp) latents + sqrt(1 - acp) noise: latents, noise: [B, ...], timesteps: [B] -> [B, ...] */
export const addNoise = (
  schedule: TrainingNoise,
  latents: Float32Array,
  noise: Float32Array,
  timesteps: ArrayLike<number>,
): Float32Array =>
  perSample(timesteps, latents, noise, (clean, random, t) => {
    const { alpha, sigma } = level(schedule, t);
    return weightedSum([alpha, clean], [sigma, random]);
  });

/**
 * What the network is to give: the noise, or v = sqrt(acp) noise - sqrt(1 - acp) latents. Sizes as in
 * `addNoise`.
 */
export function trainingTarget(
  schedule: TrainingNoise,
  latents: Float32Array,
  noise: Float32Array,
  timesteps: ArrayLike<number>,
): Float32Array {
  if (schedule.target === "epsilon") return noise;
  return perSample(timesteps, latents, noise, (clean, random, t) =>
    velocity(clean, random, level(schedule, t)),
  );
}

function perSample(
  timesteps: ArrayLike<number>,
  latents: Float32Array,
  noise: Float32Array,
  rule: (latents: Float32Array, noise: Float32Array, timestep: number) => Float32Array,
): Float32Array {
  const size = latents.length / timesteps.length;
  if (!Number.isInteger(size) || noise.length !== latents.length) {
    const got = `${latents.length} latents, ${noise.length} of noise, ${timesteps.length} timesteps`;
    throw new Error(`internal: a batch must divide into its samples, got ${got}`);
  }
  const result = new Float32Array(latents.length);
  for (let i = 0; i < timesteps.length; i++) {
    const [from, to] = [i * size, (i + 1) * size];
    result.set(rule(latents.subarray(from, to), noise.subarray(from, to), timesteps[i]!), from);
  }
  return result;
}

/** Signal-to-noise ratio acp / (1 - acp), in float32 as the training scripts compute it. */
export function snr(schedule: TrainingNoise, timestep: number): number {
  const { alpha, sigma } = level(schedule, timestep);
  return f32(f32(alpha / sigma) ** 2);
}

/**
 * `older` is what Diffusers' scripts did for v-prediction in some versions: min(snr + 1, gamma) / (snr + 1).
 */
export const snrRules = ["current", "older"] as const;
export type SnrRule = (typeof snrRules)[number];

/**
 * Weights of each sample's task loss: min(snr, gamma) / snr for epsilon, min(snr, gamma) / (snr + 1) for v
 * (Hang et al. 2023, "Efficient Diffusion Training via Min-SNR Weighting Strategy", section 3.4). timesteps:
 * [B] -> [B]
 */
export function minSnrWeights(
  schedule: TrainingNoise,
  timesteps: ArrayLike<number>,
  { gamma, rule = "current" }: { gamma: number; rule?: SnrRule },
): Float32Array {
  return Float32Array.from(timesteps, (t) => {
    const ratio = snr(schedule, t);
    // At snr 0 the quotient's limit, which is 1, stands for 0 / 0.
    if (schedule.target === "epsilon") return ratio === 0 ? 1 : f32(Math.min(ratio, gamma) / ratio);
    const above = f32(ratio + 1);
    return f32(Math.min(rule === "older" ? above : ratio, gamma) / above);
  });
}

/**
 * Noise for a batch: `torch.randn(shape)`. With `noiseOffset`, each channel of each sample is shifted by that
 * many times one more normal number (N. Guttenberg 2023, "Diffusion With Offset Noise"). shape: [B, C, H, W]
 */
export function drawNoise(
  shape: readonly [number, number, number, number],
  generator: Generator,
  { noiseOffset = 0 }: { noiseOffset?: number } = {},
): Float32Array {
  const [batch, channels, height, width] = shape;
  const pixels = height * width;
  const noise = generator.normal(batch * channels * pixels);
  if (noiseOffset === 0) return noise;
  const shifts = generator.normal(batch * channels).map((x) => x * noiseOffset);
  return noise.map((x, i) => x + shifts[Math.floor(i / pixels)]!);
}

/**
 * `torch.randint(0, timesteps, (batch,))`, or with `among` one of these timesteps for each; Diffusers' scripts draw it after the noise, from the same generator. With
 * `noisier` other than 1 the noisier half of the timesteps is drawn that many times as often as the other, which is
 * those scripts' `timestep_bias_strategy` "later" with a portion of 0.5: there the caption alone decides the image.
 */
export function drawTimesteps(
  schedule: TrainingNoise,
  batch: number,
  generator: Generator,
  { noisier = 1, among }: { noisier?: number; among?: readonly number[] | undefined } = {},
): Float64Array {
  if (among) return generator.randint(batch, { high: among.length }).map((i) => among[i]!);
  const count = schedule.alphasCumprod.length;
  if (noisier === 1) return generator.randint(batch, { high: count });
  const half = count / 2;
  const clean = 1 / (1 + noisier);
  return generator
    .uniform(batch, "float64")
    .map((u) =>
      Math.floor(u < clean ? (u / clean) * half : half + ((u - clean) / (1 - clean)) * (count - half)),
    );
}
