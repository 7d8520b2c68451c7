/** @file Reads a scheduler's config from a file's snake_case or another scheduler's camelCase. Knows no algorithm. */

import { closest } from "../../closest.js";
import { InvalidRequest } from "../../errors.js";
import {
  checkSetting,
  isSettingName,
  type SchedulerSettings,
  settingNames,
  settingsFrom,
} from "./config-fields.js";

/** camelCase; every key of the file, plus the class defaults, plus `_useDefaultValues`: which keys were defaulted. */
export type SchedulerConfig = Readonly<Record<string, unknown>>;

/** What sets a class of schedulers apart before it computes anything. */
export type SchedulerKind = {
  readonly className: string;
  /** The fields Diffusers' constructor takes, with its defaults. Others are carried along without effect. */
  readonly defaults: Partial<SchedulerSettings>;
  /** Of "exp" and "sigmoid", the one this class knows besides the three that all know. */
  readonly extraBetaSchedule?: "exp" | "sigmoid";
  /** Values replaced because they belong to a related class (solver_type "bh2" is "midpoint" to DPM-Solver). */
  readonly adapt?: (settings: SchedulerSettings) => Partial<SchedulerSettings>;
};

const defaulted = "_useDefaultValues";

export function camelCase(key: string): string {
  return key.replace(/(?<=.)_([a-z0-9])/g, (_, letter: string) => letter.toUpperCase());
}

export function snakeCase(key: string): string {
  return key.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

/**
 * Diffusers' `from_config`: own fields are read, unknown ones carried along, and fields that the other scheduler
 * only had by default take this class's defaults. Throws InvalidRequest naming the field.
 */
export function readConfig(
  kind: SchedulerKind,
  source: Readonly<Record<string, unknown>>,
  overrides: Readonly<Record<string, unknown>>,
): { config: SchedulerConfig; settings: SchedulerSettings } {
  const given = { ...fields(source, fileName(source)), ...fields(overrides, "") };
  refuseUnknown(overrides);
  const own: Record<string, unknown> = {};
  for (const [name, { value, where }] of Object.entries(given)) {
    if (!isSettingName(name) || !isRead(kind, name)) continue;
    checkSetting(name, value, where);
    own[name] = value;
  }
  const where = (name: string) => given[name]?.where ?? name;
  const written = settingsFrom(kind.defaults, own as Partial<SchedulerSettings>);
  refuseCombination(kind, written, where);
  const replaced = kind.adapt?.(written) ?? {};
  const settings = settingsFrom(kind.defaults, { ...(own as Partial<SchedulerSettings>), ...replaced });
  const carried = Object.fromEntries(Object.entries(given).map(([name, { value }]) => [name, value]));
  const absent = Object.keys(kind.defaults).filter((name) => !Object.hasOwn(given, name));
  const config = { ...kind.defaults, ...carried, ...replaced, _className: kind.className };
  return { config: Object.freeze({ ...config, [defaulted]: absent }), settings };
}

type Field = { readonly value: unknown; readonly where: string };

/** camelCase name -> value, with the name as its owner wrote it; without the fields that were only defaults. */
function fields(source: Readonly<Record<string, unknown>>, file: string): Record<string, Field> {
  const skipped = source[defaulted] ?? source._use_default_values;
  const names = new Set(Array.isArray(skipped) ? skipped.map((name) => camelCase(String(name))) : []);
  const entries = Object.entries(source)
    .map(([key, value]) => [camelCase(key), { value, where: file + key }] as const)
    .filter(([name]) => name !== defaulted && !names.has(name));
  return Object.fromEntries(entries);
}

/** A config that lists its defaults comes from a scheduler, one that does not from a file. */
function fileName(source: Readonly<Record<string, unknown>>): string {
  return defaulted in source ? "" : "scheduler/scheduler_config.json: ";
}

/** Diffusers looks for sigma_min and sigma_max in the whole config, also where the class has no such field. */
function isRead(kind: SchedulerKind, name: string): boolean {
  return Object.hasOwn(kind.defaults, name) || name === "sigmaMin" || name === "sigmaMax";
}

/** A file may carry what it likes; an override nobody knows is a misspelling. */
function refuseUnknown(overrides: Readonly<Record<string, unknown>>): void {
  for (const key of Object.keys(overrides)) {
    if (key.startsWith("_") || isSettingName(camelCase(key))) continue;
    const near = closest(camelCase(key), settingNames);
    const hint = near ? ` Did you mean "${key.includes("_") ? snakeCase(near) : near}"?` : "";
    throw new InvalidRequest(key, overrides[key], `is not a field of any scheduler.${hint}`);
  }
}

function refuseCombination(
  kind: SchedulerKind,
  settings: SchedulerSettings,
  where: (name: string) => string,
): void {
  const { className, extraBetaSchedule } = kind;
  const schedule = settings.betaSchedule;
  const special = schedule === "exp" || schedule === "sigmoid";
  if (special && schedule !== extraBetaSchedule && settings.trainedBetas === null) {
    const rule = `must be one that ${className} knows, got "${schedule}". Use "linear", "scaled_linear" or "squaredcos_cap_v2".`;
    throw new InvalidRequest(where("betaSchedule"), schedule, rule);
  }
  const sigmaSchedules = (["useKarrasSigmas", "useExponentialSigmas", "useBetaSigmas"] as const).filter(
    (name) => settings[name],
  );
  if (sigmaSchedules.length > 1) {
    const names = sigmaSchedules.map(snakeCase).join(" and ");
    throw new InvalidRequest(
      where(sigmaSchedules[1]!),
      true,
      `must not be combined, got ${names}. Keep one.`,
    );
  }
}
