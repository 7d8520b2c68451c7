/**
 * @file All schedulers by Diffusers' class names. To add one: write its class in a file here, add it to the table below
 * and its names to sampler-names.ts; registry.test.ts and golden.test.ts run over the table.
 */

import { closest } from "../../closest.js";
import { InvalidRequest, listed } from "../../errors.js";
import type { SchedulerFields } from "./config.js";
import { DDIMScheduler } from "./ddim.js";
import { DDPMScheduler } from "./ddpm.js";
import { DEISMultistepScheduler } from "./deis.js";
import { DPMSolverMultistepScheduler } from "./dpm-multistep.js";
import { DPMSolverSinglestepScheduler } from "./dpm-singlestep.js";
import { EDMDPMSolverMultistepScheduler, EDMEulerScheduler } from "./edm.js";
import { EulerDiscreteScheduler } from "./euler.js";
import { EulerAncestralDiscreteScheduler } from "./euler-ancestral.js";
import { HeunDiscreteScheduler } from "./heun.js";
import { KDPM2DiscreteScheduler } from "./kdpm2.js";
import { KDPM2AncestralDiscreteScheduler } from "./kdpm2-ancestral.js";
import { LCMScheduler } from "./lcm.js";
import { LMSDiscreteScheduler } from "./lms.js";
import { PNDMScheduler } from "./pndm.js";
import { type SchedulerChoice, shortNames } from "./sampler-names.js";
import type { Scheduler } from "./scheduler.js";
import { TCDScheduler } from "./tcd.js";
import { UniPCMultistepScheduler } from "./unipc.js";

const schedulers: Readonly<
  Record<string, new (config: SchedulerFields, overrides: SchedulerFields) => Scheduler>
> = {
  EulerDiscreteScheduler,
  EulerAncestralDiscreteScheduler,
  HeunDiscreteScheduler,
  DDIMScheduler,
  DDPMScheduler,
  DPMSolverMultistepScheduler,
  DPMSolverSinglestepScheduler,
  UniPCMultistepScheduler,
  LCMScheduler,
  PNDMScheduler,
  LMSDiscreteScheduler,
  KDPM2DiscreteScheduler,
  KDPM2AncestralDiscreteScheduler,
  DEISMultistepScheduler,
  TCDScheduler,
  EDMEulerScheduler,
  EDMDPMSolverMultistepScheduler,
};

/** Diffusers' class names of all schedulers. */
export const schedulerNames: readonly string[] = Object.keys(schedulers);

/** The short names of schedulers, for the command line and requests: "euler", "dpmpp-2m-karras" and so on. */
export const schedulerShortNames: readonly string[] = Object.keys(shortNames);

/**
 * A scheduler from a parsed scheduler_config.json, or from another scheduler's `config`, as Diffusers' `from_config`
 * makes it. `overrides` replace fields of the config, `className` its class. Throws InvalidRequest for an unknown
 * class and for a field's value that is out of range.
 */
export function schedulerFromConfig(
  config: SchedulerFields,
  overrides: SchedulerFields = {},
  className?: string,
): Scheduler {
  const name = className ?? config._class_name ?? config._className;
  const field = className === undefined ? "scheduler/scheduler_config.json: _class_name" : "className";
  const known = `one of ${listed(schedulerNames, schedulerNames.length)}`;
  if (typeof name !== "string") {
    throw new InvalidRequest(field, name, `must be ${known}, got ${JSON.stringify(name)}.`);
  }
  const Class = Object.hasOwn(schedulers, name) ? schedulers[name] : undefined;
  if (Class) return new Class(config, overrides);
  throw new InvalidRequest(
    field,
    name,
    `must be ${known}, got "${name}".${suggestion(name, schedulerNames)}`,
  );
}

/** The class and overrides behind a short name or a class name. Throws InvalidRequest, which lists the short names. */
export function schedulerNamed(name: string): SchedulerChoice {
  const short = name.toLowerCase();
  if (Object.hasOwn(shortNames, short)) return shortNames[short]!;
  if (schedulerNames.includes(name)) return { className: name, overrides: {} };
  const known = listed(schedulerShortNames, schedulerShortNames.length);
  const rule = `must be one of ${known} or a Diffusers class name, got "${name}".`;
  throw new InvalidRequest("scheduler", name, `${rule}${suggestion(short, schedulerShortNames)}`);
}

function suggestion(name: string, known: readonly string[]): string {
  const near = closest(name, known);
  return near === undefined ? "" : ` Did you mean "${near}"?`;
}
