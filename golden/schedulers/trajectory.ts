/** @file Schedulers at work: trajectories under saved model outputs, noising, velocities. */

import { Generator } from "../../src/diffusion/random.js";
import { DDPMScheduler } from "../../src/diffusion/schedulers/ddpm.js";
import { camelCase } from "../../src/diffusion/schedulers/field-names.js";
import { schedulerFromConfig } from "../../src/diffusion/schedulers/registry.js";
import type { StepOptions } from "../../src/diffusion/schedulers/scheduler.js";
import { type Check, type Expectation, type TensorData, tensorData } from "../conformance/check.js";
import { splitFirstAxis } from "../conformance/compare.js";
import { floatInput, type GoldenFile } from "../conformance/golden-file.js";
import { addedNoise, diffusersError, notFinite, schedulerStep, sigma } from "../conformance/tolerances.js";
import { type NamedValue, orInvalidRequest } from "./by-class.js";
import type { Noising, Trajectory } from "./schema.js";
import { expectedTimesteps } from "./tables.js";

/** All of a trajectory that may be known while it is computed. */
export type TrajectoryInputs = Pick<
  Trajectory,
  "scheduler" | "config" | "num_inference_steps" | "step" | "generator_seed"
>;

/** Starts at noise * initNoiseSigma; step i is given model output i. noise: [B, C, H, W] */
function runTrajectory(
  { scheduler: name, config, num_inference_steps: count, step, generator_seed: seed }: TrajectoryInputs,
  noise: { data: Float32Array; shape: readonly number[] },
  outputs: Float32Array,
) {
  const scheduler = schedulerFromConfig(config, {}, name);
  scheduler.setTimesteps(count);
  const options: StepOptions = {
    ...Object.fromEntries(Object.entries(step).map(([key, value]) => [camelCase(key), value])),
    ...(seed !== undefined && { generator: new Generator(BigInt(seed)) }),
    batch: noise.shape[0] ?? 1,
  };
  const size = noise.data.length;
  const [prev, clean]: [Float32Array[], Float32Array[]] = [[], []];
  let sample = noise.data.map((x) => x * scheduler.initNoiseSigma);
  for (const [i, t] of scheduler.timesteps.entries()) {
    scheduler.scaleModelInput(sample, t);
    const result = scheduler.step(outputs.slice(i * size, (i + 1) * size), t, sample, options);
    sample = Float32Array.from(result.prevSample);
    prev.push(sample);
    clean.push(result.predOriginalSample);
  }
  return { prev, clean, timesteps: scheduler.timesteps, initNoiseSigma: scheduler.initNoiseSigma };
}

export async function trajectory(
  t: TrajectoryInputs,
  file: GoldenFile,
): Promise<NamedValue<TensorData | Error>[]> {
  const noise = await floatInput(file, "noise");
  const outputs = await floatInput(file, "model_outputs");
  const run = await orInvalidRequest(() => runTrajectory(t, noise, outputs.data));
  if (run instanceof Error) {
    return ["timesteps", "init_noise_sigma", "refused", "notFinite"].map((name) => [name, run] as const);
  }
  const steps = run.prev.flatMap((prev, i) => [
    [`prev_sample[${i}]`, tensorData(prev, ...noise.shape)] as const,
    [`pred_original_sample[${i}]`, tensorData(run.clean[i]!, ...noise.shape)] as const,
  ]);
  return [
    ["timesteps", tensorData(run.timesteps)],
    ["init_noise_sigma", tensorData([run.initNoiseSigma])],
    ...steps,
    ["refused", tensorData([])],
    ["notFinite", tensorData(Float32Array.from(run.prev.flatMap((x) => [...x])))],
  ];
}

export async function expectedTrajectory(
  t: Trajectory,
  file: GoldenFile,
): Promise<NamedValue<Expectation>[]> {
  if (t.error !== undefined) return [["refused", { tolerance: diffusersError }]];
  const parts: NamedValue<Expectation>[] = [
    ["timesteps", expectedTimesteps(t.timesteps!)],
    ["init_noise_sigma", { tolerance: sigma, numbers: tensorData([t.init_noise_sigma!]) }],
  ];
  if (t.not_finite) return [...parts, ["notFinite", { tolerance: notFinite }]];
  for (const name of file.names.filter((n) => n.startsWith(`${t.id}.`))) {
    const steps = splitFirstAxis(name.slice(t.id.length + 1), await file.expected(name));
    parts.push(...steps.map(([step, numbers]) => [step, { tolerance: schedulerStep, numbers }] as const));
  }
  if (parts.length === 2) throw new Error(`trajectory ${t.id} has no tensors in schedulers.safetensors`);
  return parts;
}

export async function addedNoiseValues(
  n: Noising,
  file: GoldenFile,
): Promise<NamedValue<TensorData | Error>[]> {
  const [clean, noise] = [await floatInput(file, "clean"), await floatInput(file, "noise")];
  const out = await orInvalidRequest(() => {
    const scheduler = schedulerFromConfig(n.config, {}, n.scheduler);
    scheduler.setTimesteps(n.num_inference_steps);
    return tensorData(scheduler.addNoise(clean.data, noise.data, n.timestep), ...clean.shape);
  });
  return [["", out]];
}

/** `get_velocity.<timestep>`, under the betas that all tables have. */
export function velocityCheck(
  names: readonly string[],
  config: Record<string, unknown>,
  file: GoldenFile,
): Check {
  const betas = Object.fromEntries(Object.entries(config).filter(([key]) => key.startsWith("beta_")));
  return {
    name: "get_velocity",
    compute: async () => {
      const [clean, noise] = [await floatInput(file, "clean"), await floatInput(file, "noise")];
      const scheduler = new DDPMScheduler(betas);
      const known = names.flatMap((name) => /^get_velocity\.(\d+)$/.exec(name)?.[1] ?? []);
      const at = (t: string) =>
        tensorData(scheduler.getVelocity(clean.data, noise.data, Number(t)), ...clean.shape);
      return new Map(known.map((t) => [`get_velocity.${t}`, at(t)]));
    },
    expected: async () =>
      new Map(
        await Promise.all(
          names.map(
            async (name) => [name, { tolerance: addedNoise, numbers: await file.expected(name) }] as const,
          ),
        ),
      ),
  };
}
