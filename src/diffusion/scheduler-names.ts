/** @file The names under which other programs know Diffusers' schedulers, and the settings each name implies. */

import { InvalidRequest, listed } from "../errors.js";
import { closest } from "./closest.js";
import { schedulerNames } from "./scheduler.js";

export type SchedulerChoice = { className: string; overrides: Readonly<Record<string, unknown>> };

const karras = { use_karras_sigmas: true };
const sde = { algorithm_type: "sde-dpmsolver++" };

/** Short names as k-diffusion, A1111 and ComfyUI users write them. */
const shortNames: Readonly<Record<string, SchedulerChoice>> = {
  euler: { className: "EulerDiscreteScheduler", overrides: {} },
  "euler-a": { className: "EulerAncestralDiscreteScheduler", overrides: {} },
  "euler-karras": { className: "EulerDiscreteScheduler", overrides: karras },
  heun: { className: "HeunDiscreteScheduler", overrides: {} },
  "dpmpp-2m": { className: "DPMSolverMultistepScheduler", overrides: {} },
  "dpmpp-2m-karras": { className: "DPMSolverMultistepScheduler", overrides: karras },
  "dpmpp-2m-sde": { className: "DPMSolverMultistepScheduler", overrides: sde },
  "dpmpp-2m-sde-karras": { className: "DPMSolverMultistepScheduler", overrides: { ...sde, ...karras } },
  "dpmpp-2s": { className: "DPMSolverSinglestepScheduler", overrides: {} },
  dpm2: { className: "KDPM2DiscreteScheduler", overrides: {} },
  "dpm2-a": { className: "KDPM2AncestralDiscreteScheduler", overrides: {} },
  unipc: { className: "UniPCMultistepScheduler", overrides: {} },
  deis: { className: "DEISMultistepScheduler", overrides: {} },
  ddim: { className: "DDIMScheduler", overrides: {} },
  ddpm: { className: "DDPMScheduler", overrides: {} },
  pndm: { className: "PNDMScheduler", overrides: {} },
  lms: { className: "LMSDiscreteScheduler", overrides: {} },
  lcm: { className: "LCMScheduler", overrides: {} },
  tcd: { className: "TCDScheduler", overrides: {} },
};

export const schedulerShortNames: readonly string[] = Object.keys(shortNames);

/** The scheduler behind a short name or a Diffusers class name; InvalidRequest lists the names there are. */
export function schedulerNamed(name: string): SchedulerChoice {
  const short = shortNames[name.toLowerCase()];
  if (short) return short;
  if (schedulerNames.includes(name)) return { className: name, overrides: {} };
  const near = closest(name.toLowerCase(), schedulerShortNames);
  const hint = near ? ` Did you mean "${near}"?` : "";
  const known = listed(schedulerShortNames, schedulerShortNames.length);
  throw new InvalidRequest(
    "scheduler",
    name,
    `must be one of ${known} or a Diffusers class name, got "${name}".${hint}`,
  );
}
