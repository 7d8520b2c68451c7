/**
 * @file The table of samplers and sigma schedules by name: ours, A1111's and other programs'. Must not import a
 * scheduler's class, so that the page can include it alone.
 */

import { camelCase } from "./field-names.js";

/** A scheduler's class, and the config fields that make it the sampler of a name; fields in snake_case. */
export type SchedulerChoice = { className: string; overrides: Readonly<Record<string, unknown>> };

type Fields = Readonly<Record<string, unknown>>;

export type Sampler = {
  /** A1111's name, or one in its manner. */
  label: string;
  className: string;
  overrides?: Fields;
  /** The name on our command line and in requests. */
  short?: string;
  /** Whether the short name with "-karras" at the end exists too. */
  karras?: true;
  /** A1111's schedule for it where "Automatic" is chosen, since its version 1.9. */
  automatic?: string;
  /** Names in other programs that are no spelling of the label. */
  aliases?: readonly string[];
};

const multistep = "DPMSolverMultistepScheduler";
const edm = "EDMDPMSolverMultistepScheduler";
const sde = { algorithm_type: "sde-dpmsolver++" };
const sdeHeun = { ...sde, solver_type: "heun" };

export const samplers: readonly Sampler[] = [
  { label: "Euler", className: "EulerDiscreteScheduler", short: "euler", karras: true },
  { label: "Euler a", className: "EulerAncestralDiscreteScheduler", short: "euler-a" },
  { label: "Heun", className: "HeunDiscreteScheduler", short: "heun" },
  { label: "DPM++ 2M", className: multistep, short: "dpmpp-2m", karras: true, automatic: "Karras" },
  {
    label: "DPM++ 2M SDE",
    className: multistep,
    overrides: sde,
    short: "dpmpp-2m-sde",
    karras: true,
    automatic: "Exponential",
  },
  { label: "DPM++ 2M SDE Heun", className: multistep, overrides: sdeHeun, automatic: "Exponential" },
  { label: "DPM++ 2S", className: "DPMSolverSinglestepScheduler", short: "dpmpp-2s" },
  {
    label: "DPM2",
    className: "KDPM2DiscreteScheduler",
    short: "dpm2",
    automatic: "Karras",
    aliases: ["kdpm2"],
  },
  {
    label: "DPM2 a",
    className: "KDPM2AncestralDiscreteScheduler",
    short: "dpm2-a",
    automatic: "Karras",
    aliases: ["kdpm2a"],
  },
  { label: "UniPC", className: "UniPCMultistepScheduler", short: "unipc", aliases: ["unipcbh2"] },
  { label: "DEIS", className: "DEISMultistepScheduler", short: "deis" },
  { label: "DDIM", className: "DDIMScheduler", short: "ddim" },
  { label: "DDPM", className: "DDPMScheduler", short: "ddpm" },
  { label: "PLMS", className: "PNDMScheduler", short: "pndm", aliases: ["pndm"] },
  { label: "LMS", className: "LMSDiscreteScheduler", short: "lms" },
  { label: "LCM", className: "LCMScheduler", short: "lcm" },
  { label: "TCD", className: "TCDScheduler", short: "tcd" },
  { label: "EDM Euler", className: "EDMEulerScheduler", short: "edm-euler" },
  { label: "EDM DPM++ 2M", className: edm, short: "edm-dpmpp-2m" },
  { label: "EDM DPM++ 2M SDE", className: edm, overrides: sde, short: "edm-dpmpp-2m-sde" },
];

export type NamedSchedule = { label: string; overrides: Fields; aliases?: readonly string[] };

const karras = { use_karras_sigmas: true };
const trailing = { timestep_spacing: "trailing" };
/** Even timesteps, both ends included. */
const linspace = { timestep_spacing: "linspace" };

/** A1111's schedules in the config fields with which Diffusers' documentation pairs them. */
export const schedules: readonly NamedSchedule[] = [
  { label: "Karras", overrides: karras, aliases: ["k", "ka"] },
  { label: "Exponential", overrides: { use_exponential_sigmas: true }, aliases: ["exp"] },
  { label: "Beta", overrides: { use_beta_sigmas: true } },
  { label: "SGM Uniform", overrides: trailing, aliases: ["trailing"] },
  // ComfyUI's takes every (1000 / steps)-th noise level from the noisiest on, as trailing timesteps do.
  { label: "Simple", overrides: trailing },
  { label: "Uniform", overrides: linspace, aliases: ["discrete"] },
  { label: "Normal", overrides: linspace },
  { label: "DDIM", overrides: { timestep_spacing: "leading", steps_offset: 1 }, aliases: ["ddimuniform"] },
];

/** Short names as k-diffusion, A1111 and ComfyUI users write them. */
export const shortNames: Readonly<Record<string, SchedulerChoice>> = Object.fromEntries(
  samplers.flatMap(({ short, karras: hasKarras, className, overrides = {} }) => {
    if (short === undefined) return [];
    const plain = [short, { className, overrides }] as const;
    const spaced = [`${short}-karras`, { className, overrides: { ...overrides, ...karras } }] as const;
    return hasKarras ? [plain, spaced] : [plain];
  }),
);

/** The short name of a class with this config (in either spelling): of several, the one with most overrides. */
export function shortNameOf(className: string, config: Fields): string | undefined {
  const all = Object.entries(shortNames).map(([name, choice]) => ({ name, ...choice }));
  return bestMatch(all, className, config)?.name;
}

/** Of the rows of a class whose overrides a config has, the one with most overrides. */
export function bestMatch<T extends { className: string; overrides?: Fields }>(
  rows: readonly T[],
  className: string,
  config: Fields,
): T | undefined {
  const has = ([key, value]: [string, unknown]) => (config[key] ?? config[camelCase(key)]) === value;
  const entriesOf = ({ overrides = {} }: T) => Object.entries(overrides);
  const matching = rows.filter((row) => row.className === className && entriesOf(row).every(has));
  return matching.sort((a, b) => entriesOf(b).length - entriesOf(a).length)[0];
}
