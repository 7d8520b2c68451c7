/** @file The names of samplers and schedules in A1111's texts, and the schedulers of Diffusers that do the same. */

import type { Scheduler } from "./scheduler.js";
import type { SchedulerChoice } from "./scheduler-short-names.js";

const samplers: readonly (readonly [label: string, className: string, algorithm?: string])[] = [
  ["Euler", "EulerDiscreteScheduler"],
  ["Euler a", "EulerAncestralDiscreteScheduler"],
  ["Heun", "HeunDiscreteScheduler"],
  ["DPM++ 2M SDE", "DPMSolverMultistepScheduler", "sde-dpmsolver++"],
  ["DPM++ 2M", "DPMSolverMultistepScheduler"],
  ["DPM++ 2S", "DPMSolverSinglestepScheduler"],
  ["DPM2", "KDPM2DiscreteScheduler"],
  ["DPM2 a", "KDPM2AncestralDiscreteScheduler"],
  ["UniPC", "UniPCMultistepScheduler"],
  ["DEIS", "DEISMultistepScheduler"],
  ["DDIM", "DDIMScheduler"],
  ["DDPM", "DDPMScheduler"],
  ["PLMS", "PNDMScheduler"],
  ["LMS", "LMSDiscreteScheduler"],
  ["LCM", "LCMScheduler"],
  ["TCD", "TCDScheduler"],
];

const schedules: Readonly<Record<string, Readonly<Record<string, unknown>>>> = {
  Karras: { use_karras_sigmas: true },
  Exponential: { use_exponential_sigmas: true },
  Beta: { use_beta_sigmas: true },
  "SGM Uniform": { timestep_spacing: "trailing" },
};

export const webuiSamplers: readonly string[] = samplers.map(([label]) => label);
export const webuiSchedules: readonly string[] = Object.keys(schedules);

/** How A1111 calls a scheduler; a class it does not know keeps its own name. */
export function webuiNames({ className, config }: Pick<Scheduler, "className" | "config">) {
  const found = samplers.find(
    ([, name, algorithm]) =>
      name === className && (algorithm === undefined || algorithm === config.algorithmType),
  );
  const schedule = config.useKarrasSigmas
    ? "Karras"
    : config.useExponentialSigmas
      ? "Exponential"
      : config.useBetaSigmas
        ? "Beta"
        : config.timestepSpacing === "trailing"
          ? "SGM Uniform"
          : undefined;
  return { sampler: found?.[0] ?? className, schedule };
}

/** The scheduler behind A1111's names, as older versions ("DPM++ 2M Karras") and newer ones write them, if there is one. */
export function webuiScheduler(sampler: string, schedule?: string): SchedulerChoice | undefined {
  const older = /^(.+) (Karras|Exponential)$/.exec(sampler);
  const [label, kind] = older ? [older[1], older[2]] : [sampler, schedule];
  const found = samplers.find(([name]) => name === label);
  if (!found) return undefined;
  const [, className, algorithm] = found;
  const overrides = kind !== undefined && Object.hasOwn(schedules, kind) ? schedules[kind] : {};
  return { className, overrides: { ...(algorithm && { algorithm_type: algorithm }), ...overrides } };
}
