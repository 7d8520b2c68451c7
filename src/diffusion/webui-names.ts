/**
 * @file The names of samplers and schedules in A1111's texts, and the schedulers of Diffusers that do the same. Other
 * programs' names of the same samplers are other spellings of these: k-diffusion's, ComfyUI's, InvokeAI's, NovelAI's,
 * stable-diffusion.cpp's, Draw Things' and our own.
 */

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

/** Under names that are no spelling of A1111's. */
const aliases: Readonly<Record<string, string>> = {
  kdpm2: "DPM2",
  kdpm2a: "DPM2 a",
  pndm: "PLMS",
  unipcbh2: "UniPC",
};

/** Schedules of other names. The model's own where a program leaves the choice to its sampler. */
const otherSchedules: Readonly<Record<string, Readonly<Record<string, unknown>>>> = {
  k: { use_karras_sigmas: true },
  trailing: { timestep_spacing: "trailing" },
  // ComfyUI's takes every (1000 / steps)-th noise level from the noisiest on, as trailing timesteps do.
  simple: { timestep_spacing: "trailing" },
  normal: { timestep_spacing: "linspace" },
  uniform: { timestep_spacing: "linspace" },
  discrete: { timestep_spacing: "linspace" },
  ddim: { timestep_spacing: "leading", steps_offset: 1 },
  ddimuniform: { timestep_spacing: "leading", steps_offset: 1 },
  automatic: {},
  default: {},
  native: {},
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

/**
 * The scheduler behind a program's names, if there is one: the schedule may also be the sampler's last word, as in
 * older texts ("DPM++ 2M Karras"). A schedule that `scheduleSettings` does not know changes nothing.
 */
export function webuiScheduler(sampler: string, schedule?: string): SchedulerChoice | undefined {
  const whole = samplerOf(sampler);
  const [, first, last] = /^(.+)[ _-]([A-Za-z]+)$/.exec(sampler.slice(0, mostLetters)) ?? [];
  const found = whole ?? (first === undefined ? undefined : samplerOf(first));
  const named = whole ? schedule : last;
  const overrides = named === undefined ? {} : scheduleSettings(named);
  if (!found || (!whole && !overrides)) return undefined;
  const [, className, algorithm] = found;
  return { className, overrides: { ...(algorithm && { algorithm_type: algorithm }), ...overrides } };
}

/** What a schedule's name sets of a scheduler; undefined for one that is not to be had here. */
export function scheduleSettings(name: string): Readonly<Record<string, unknown>> | undefined {
  const key = spelling(name);
  const label = webuiSchedules.find((each) => spelling(each) === key);
  if (label !== undefined) return schedules[label];
  return Object.hasOwn(otherSchedules, key) ? otherSchedules[key] : undefined;
}

const mostLetters = 100;

function samplerOf(name: string) {
  const key = spelling(name.replace(/^k_/, "").replace(/_gpu$/, ""));
  const label = Object.hasOwn(aliases, key) ? aliases[key] : undefined;
  return samplers.find(([each]) => (label === undefined ? spelling(each) === key : each === label));
}

/** What spellings of one name have in common: "DPM2 a" and "dpm_2_ancestral", "DPM++ 2M" and "dpmpp-2m". */
const spelling = (name: string): string =>
  name
    .slice(0, mostLetters)
    .toLowerCase()
    .replaceAll("+", "p")
    .replace(/[ _-]/g, "")
    .replace(/ancestral$/, "a");
