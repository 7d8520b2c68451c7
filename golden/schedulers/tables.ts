/** @file Betas, and tables of timesteps, sigmas and input scales. */

import { DDIMScheduler } from "../../src/diffusion/schedulers/ddim.js";
import { camelCase } from "../../src/diffusion/schedulers/field-names.js";
import { schedulerFromConfig } from "../../src/diffusion/schedulers/registry.js";
import { type Check, type Expectation, type TensorData, tensorData } from "../conformance/check.js";
import { beta, diffusersError, rescaledBeta, sigma, timestepTolerance } from "../conformance/tolerances.js";
import { type NamedValue, orInvalidRequest } from "./by-class.js";
import type { Betas, Table } from "./schema.js";

/** Exposes what Diffusers shows of a scheduler and this project keeps protected. */
export class OpenScheduler extends DDIMScheduler {
  get numbers() {
    return { ...this.noiseSchedule, last: this.alphaBarBefore(-1) };
  }
}

export function betaCheck(betas: readonly Betas[]): Check {
  const compute = ({ at, config }: Pick<Betas, "at" | "config">) => {
    const { betas, alphasCumprod, last } = new OpenScheduler(config, {}).numbers;
    const pick = (all: Float32Array) => tensorData(Float32Array.from(at, (t) => all[t] ?? Number.NaN));
    return {
      betas: pick(betas),
      alphas_cumprod: pick(alphasCumprod),
      final_alpha_cumprod: tensorData([last]),
    };
  };
  const name = (i: number, what: string) => `betas ${i} ${JSON.stringify(betas[i]!.config)} ${what}`;
  return {
    name: "betas",
    compute: async () =>
      new Map(
        betas.flatMap((b, i) => Object.entries(compute(b)).map(([what, n]) => [name(i, what), n] as const)),
      ),
    expected: async () =>
      new Map(
        betas.flatMap(({ expected, config }, i) =>
          Object.entries(expected).map(([what, n]) => {
            const rescaled = what === "betas" ? rescaledBeta : sigma;
            const tolerance = config.rescale_betas_zero_snr === true ? rescaled : beta;
            return [name(i, what), { tolerance, numbers: tensorData(n) }] as const;
          }),
        ),
      ),
  };
}

export async function table({ scheduler: name, config, call }: Pick<Table, "scheduler" | "config" | "call">) {
  const made = await orInvalidRequest(() => {
    const scheduler = schedulerFromConfig(config, {}, name);
    const { numInferenceSteps, ...options } = camel(call);
    const set = () => scheduler.setTimesteps(numInferenceSteps as number | undefined, options);
    set();
    const factors = scheduler.timesteps.map((t, i) => {
      set(); // resets the step index: a timestep that occurs twice is found at its own index
      scheduler.setBeginIndex(i);
      return scheduler.scaleModelInput(Float32Array.of(1), t)[0]!;
    });
    return { scheduler, factors };
  });
  const names = ["timesteps", "sigmas", "init_noise_sigma", "scale_model_input", "refused"] as const;
  if (made instanceof Error) return names.map((n) => [n, made] as const);
  const { scheduler, factors } = made;
  const { timesteps, sigmas, initNoiseSigma } = scheduler;
  return [
    ["timesteps", tensorData(timesteps)],
    ...(sigmas ? [["sigmas", tensorData(sigmas)] as const] : []),
    ["init_noise_sigma", tensorData([initNoiseSigma])],
    ["scale_model_input", tensorData(factors)],
    ["refused", tensorData([])],
  ] satisfies NamedValue<TensorData>[];
}

export function expectedTable(t: Table): NamedValue<Expectation>[] {
  if (t.error !== undefined) return [["refused", { tolerance: diffusersError }]];
  return [
    ["timesteps", expectedTimesteps(t.timesteps!, roundingNoiseIndices(t))],
    ...(t.sigmas ? [["sigmas", { tolerance: sigma, numbers: tensorData(t.sigmas) }] as const] : []),
    ["init_noise_sigma", { tolerance: sigma, numbers: tensorData([t.init_noise_sigma!]) }],
    // Absent where all factors are 1.
    [
      "scale_model_input",
      { tolerance: sigma, numbers: tensorData(t.scale_model_input ?? t.timesteps!.map(() => 1)) },
    ],
  ];
}

export function expectedTimesteps(called: readonly number[], noise: readonly number[] = []): Expectation {
  const numbers = tensorData(called);
  const skip = new Set([...noise, ...[...called.keys()].filter((i) => Number.isNaN(called[i]))]);
  return { tolerance: timestepTolerance(numbers), numbers, ...(skip.size > 0 && { skip }) };
}

/**
 * KDPM2 ancestral's calls halfway between sigmas a and b that lie far apart: Diffusers takes the difference of their
 * float32 squares, whose relative error is 2^-24 a^2 / b^2 and which may even turn out negative.
 */
function roundingNoiseIndices({ scheduler, timesteps = [], sigmas = [] }: Table): number[] {
  if (scheduler !== "KDPM2AncestralDiscreteScheduler") return [];
  const halfway = [...timesteps.keys()].filter((i) => i % 2 === 1);
  return halfway.filter((i) => (sigmas[i - 1]! / sigmas[i]!) ** 2 > 512);
}

const camel = (fields: Readonly<Record<string, unknown>>) =>
  Object.fromEntries(Object.entries(fields).map(([key, value]) => [camelCase(key), value]));
