/**
 * @file Finds schedulers by A1111's names of samplers and schedules, and by other programs' spellings of them:
 * k-diffusion's, ComfyUI's, InvokeAI's, NovelAI's, stable-diffusion.cpp's, Draw Things' and our own.
 */

import {
  bestMatch,
  type NamedSchedule,
  type Sampler,
  type SchedulerChoice,
  samplers,
  schedules,
} from "./sampler-names.js";
import type { Scheduler } from "./scheduler.js";

/** The schedule with which A1111 leaves the choice to the sampler. */
const automatic = "Automatic";

/** The schedules with which a program leaves the choice to the model. */
const modelDefaults = ["default", "native"];

export const a1111Samplers: readonly string[] = samplers.map(({ label }) => label);
export const a1111Schedules: readonly string[] = [automatic, ...schedules.map(({ label }) => label)];

/** A1111's names of a scheduler's class and sigma schedule; a class that it does not have keeps its own name. */
export function a1111Names({ className, config }: Pick<Scheduler, "className" | "config">): {
  sampler: string;
  schedule: string | undefined;
} {
  const sampler = bestMatch(samplers, className, config)?.label ?? className;
  return { sampler, schedule: scheduleLabel(config) };
}

function scheduleLabel(config: Scheduler["config"]): string | undefined {
  if (config.useKarrasSigmas) return "Karras";
  if (config.useExponentialSigmas) return "Exponential";
  if (config.useBetaSigmas) return "Beta";
  return config.timestepSpacing === "trailing" ? "SGM Uniform" : undefined;
}

/** A1111's label of a schedule in any spelling, "SGM Uniform" for "sgm_uniform"; undefined for one it does not have. */
export const a1111Schedule = (name: string): string | undefined =>
  normalized(name) === normalized(automatic) ? automatic : scheduleOf(normalized(name))?.label;

/** Whether a program's schedule exists here, or leaves the choice to the model. */
export const isKnownSchedule = (name: string): boolean =>
  a1111Schedule(name) !== undefined || modelDefaults.includes(normalized(name));

/**
 * The scheduler behind a program's names, or undefined. The schedule may also be the end of the sampler's name, as in
 * older files ("DPM++ 2M Karras", "k_dpmpp_2m_ka"), and then takes precedence. An unknown `schedule` has no effect.
 */
export function a1111Scheduler(
  sampler: string,
  schedule?: string,
): (SchedulerChoice & { label: string }) | undefined {
  const name = normalized(sampler.replace(/^k[_ ]/i, "").replace(/_gpu$/i, ""));
  const whole = samplerOf(name);
  const split = whole ? undefined : splitAtSchedule(name);
  const found = whole ?? split?.sampler;
  if (!found) return undefined;
  const given = schedule === undefined ? undefined : a1111Schedule(schedule);
  const label = split?.schedule.label ?? (given === automatic ? found.automatic : given);
  const overrides = label === undefined ? {} : scheduleOf(normalized(label))!.overrides;
  return {
    label: label === undefined ? found.label : `${found.label} ${label}`,
    className: found.className,
    overrides: { ...found.overrides, ...overrides },
  };
}

const spellings = ({ label, aliases = [] }: Sampler | NamedSchedule) => [normalized(label), ...aliases];
const samplerOf = (name: string) => samplers.find((sampler) => spellings(sampler).includes(name));
const scheduleOf = (name: string) => schedules.find((schedule) => spellings(schedule).includes(name));

/** A sampler's name with a schedule's at its end, as the two. */
function splitAtSchedule(name: string): { sampler: Sampler; schedule: NamedSchedule } | undefined {
  for (const schedule of schedules) {
    for (const end of spellings(schedule)) {
      const sampler = name.endsWith(end) ? samplerOf(name.slice(0, -end.length)) : undefined;
      if (sampler) return { sampler, schedule };
    }
  }
  return undefined;
}

const maxLength = 100;

/** What all spellings of a name have in common: "DPM2 a" and "dpm_2_ancestral", "DPM++ 2M" and "dpmpp-2m". */
function normalized(name: string): string {
  const plain = name.slice(0, maxLength).toLowerCase().replaceAll("+", "p");
  return plain.replace(/[\s_-]/g, "").replace("ancestral", "a");
}
