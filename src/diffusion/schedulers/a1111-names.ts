/**
 * @file The names of samplers and schedules in A1111's texts, and the schedulers of Diffusers that do the same. Other
 * programs' names of the same samplers are other spellings of these: k-diffusion's, ComfyUI's, InvokeAI's, NovelAI's,
 * stable-diffusion.cpp's, Draw Things' and our own.
 */

import type { Scheduler } from "./scheduler.js";
import type { SchedulerChoice } from "./short-names.js";

type Overrides = Readonly<Record<string, unknown>>;
/** `schedule` is what "Automatic" means for it, since A1111 1.9; `names` are no spellings of its label. */
type Sampler = {
  label: string;
  className: string;
  overrides?: Overrides;
  schedule?: string;
  names?: readonly string[];
};

const multistep = "DPMSolverMultistepScheduler";
const sde = { algorithm_type: "sde-dpmsolver++" };
const sdeHeun = { ...sde, solver_type: "heun" };

const samplers: readonly Sampler[] = [
  { label: "Euler", className: "EulerDiscreteScheduler" },
  { label: "Euler a", className: "EulerAncestralDiscreteScheduler" },
  { label: "Heun", className: "HeunDiscreteScheduler" },
  { label: "DPM++ 2M SDE Heun", className: multistep, overrides: sdeHeun, schedule: "Exponential" },
  { label: "DPM++ 2M SDE", className: multistep, overrides: sde, schedule: "Exponential" },
  { label: "DPM++ 2M", className: multistep, schedule: "Karras" },
  { label: "DPM++ 2S", className: "DPMSolverSinglestepScheduler" },
  { label: "DPM2", className: "KDPM2DiscreteScheduler", schedule: "Karras", names: ["kdpm2"] },
  { label: "DPM2 a", className: "KDPM2AncestralDiscreteScheduler", schedule: "Karras", names: ["kdpm2a"] },
  { label: "UniPC", className: "UniPCMultistepScheduler", names: ["unipcbh2"] },
  { label: "DEIS", className: "DEISMultistepScheduler" },
  { label: "DDIM", className: "DDIMScheduler" },
  { label: "DDPM", className: "DDPMScheduler" },
  { label: "PLMS", className: "PNDMScheduler", names: ["pndm"] },
  { label: "LMS", className: "LMSDiscreteScheduler" },
  { label: "LCM", className: "LCMScheduler" },
  { label: "TCD", className: "TCDScheduler" },
];

type Schedule = { label: string; settings: Overrides; names?: readonly string[] };

const trailing = { timestep_spacing: "trailing" };
/** Even timesteps, both ends included. */
const linspace = { timestep_spacing: "linspace" };

/** As Diffusers' documentation pairs them. */
const schedules: readonly Schedule[] = [
  { label: "Karras", settings: { use_karras_sigmas: true }, names: ["k", "ka"] },
  { label: "Exponential", settings: { use_exponential_sigmas: true }, names: ["exp"] },
  { label: "Beta", settings: { use_beta_sigmas: true } },
  { label: "SGM Uniform", settings: trailing, names: ["trailing"] },
  // ComfyUI's takes every (1000 / steps)-th noise level from the noisiest on, as trailing timesteps do.
  { label: "Simple", settings: trailing },
  { label: "Uniform", settings: linspace, names: ["discrete"] },
  { label: "Normal", settings: linspace },
  { label: "DDIM", settings: { timestep_spacing: "leading", steps_offset: 1 }, names: ["ddimuniform"] },
];

/** Names with which a program leaves the schedule to the model. */
const modelsOwn = ["default", "native"];
const automatic = "Automatic";

export const a1111Samplers: readonly string[] = samplers.map(({ label }) => label);
export const a1111Schedules: readonly string[] = [automatic, ...schedules.map(({ label }) => label)];

/** How A1111 calls a scheduler; a class it does not know keeps its own name. */
export function a1111Names({ className, config }: Pick<Scheduler, "className" | "config">) {
  const said = (key: string) => config[key.replace(/_(\w)/g, (_, letter: string) => letter.toUpperCase())];
  const found = samplers.find(
    ({ className: name, overrides = {} }) =>
      name === className && Object.entries(overrides).every(([key, value]) => said(key) === value),
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
  return { sampler: found?.label ?? className, schedule };
}

/** A1111's label of a schedule in any spelling, "SGM Uniform" for "sgm_uniform"; undefined for one it does not have. */
export const a1111Schedule = (name: string): string | undefined =>
  spelling(name) === spelling(automatic) ? automatic : scheduleOf(spelling(name))?.label;

/** Whether a schedule of that name is to be had here, if only by leaving it to the model. */
export const knowsSchedule = (name: string): boolean =>
  a1111Schedule(name) !== undefined || modelsOwn.includes(spelling(name));

/**
 * The scheduler behind a program's names, if there is one: the schedule may also be at the end of the sampler's, as in
 * older texts ("DPM++ 2M Karras", "k_dpmpp_2m_ka"), and then counts before the other. One that `webuiSchedule` does not
 * know changes nothing.
 */
export function a1111Scheduler(
  sampler: string,
  schedule?: string,
): (SchedulerChoice & { label: string }) | undefined {
  const name = spelling(sampler.replace(/^k[_ ]/i, "").replace(/_gpu$/i, ""));
  const whole = samplerOf(name);
  const inside = whole ? undefined : scheduleAtEnd(name);
  const found = whole ?? inside?.sampler;
  if (!found) return undefined;
  const given = schedule === undefined ? undefined : a1111Schedule(schedule);
  const checked = inside?.schedule.label ?? (given === automatic ? found.schedule : given);
  const settings = checked === undefined ? {} : scheduleOf(spelling(checked))!.settings;
  return {
    label: checked === undefined ? found.label : `${found.label} ${checked}`,
    className: found.className,
    overrides: { ...found.overrides, ...settings },
  };
}

const spelt = ({ label, names = [] }: Sampler | Schedule) => [spelling(label), ...names];
const samplerOf = (name: string) => samplers.find((sampler) => spelt(sampler).includes(name));
const scheduleOf = (name: string) => schedules.find((schedule) => spelt(schedule).includes(name));

/** A sampler's name that ends in a schedule's. */
function scheduleAtEnd(name: string): { sampler: Sampler; schedule: Schedule } | undefined {
  for (const schedule of schedules) {
    for (const end of spelt(schedule)) {
      const sampler = name.endsWith(end) ? samplerOf(name.slice(0, -end.length)) : undefined;
      if (sampler) return { sampler, schedule };
    }
  }
  return undefined;
}

const mostLetters = 100;

/** What spellings of one name have in common: "DPM2 a" and "dpm_2_ancestral", "DPM++ 2M" and "dpmpp-2m". */
function spelling(name: string): string {
  const plain = name.slice(0, mostLetters).toLowerCase().replaceAll("+", "p");
  return plain.replace(/[\s_-]/g, "").replace("ancestral", "a");
}
