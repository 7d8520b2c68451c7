/** @file Finds a scheduler by the names under which other programs know Diffusers'. */

import { closest } from "../../closest.js";
import { InvalidRequest, listed } from "../../errors.js";
import { schedulerNames } from "./scheduler.js";
import { type SchedulerChoice, shortNames } from "./short-names.js";

export type { SchedulerChoice } from "./short-names.js";

export const schedulerShortNames: readonly string[] = Object.keys(shortNames);

/** The scheduler behind a short name or a Diffusers class name; InvalidRequest lists the names there are. */
export function schedulerNamed(name: string): SchedulerChoice {
  const short = name.toLowerCase();
  if (Object.hasOwn(shortNames, short)) return shortNames[short]!;
  if (schedulerNames.includes(name)) return { className: name, overrides: {} };
  const near = closest(short, schedulerShortNames);
  const hint = near ? ` Did you mean "${near}"?` : "";
  const known = listed(schedulerShortNames, schedulerShortNames.length);
  throw new InvalidRequest(
    "scheduler",
    name,
    `must be one of ${known} or a Diffusers class name, got "${name}".${hint}`,
  );
}
