/** @file Reads a scheduler's config: a file's snake_case or another scheduler's camelCase, checked field by field. */

import { closest } from "../../closest.js";
import { InvalidRequest, listed } from "../../errors.js";
import {
  checkSetting,
  isSettingName,
  type SchedulerSettings,
  settingNames,
  settingsFrom,
} from "./config-fields.js";
import { camelCase, snakeCase } from "./field-names.js";

/**
 * Fields of a scheduler_config.json as a caller gives them: in camelCase or in the file's snake_case. Fields that the
 * class does not have are kept in its `config` and have no effect.
 */
export type SchedulerFields = Readonly<Partial<SchedulerSettings> & Record<string, unknown>>;

/**
 * A scheduler's config in camelCase: every field that it was made from, its class's defaults, and
 * `_useDefaultValues`, the names of the fields that were left out.
 */
export type SchedulerConfig = Readonly<Record<string, unknown>>;

/** How a class of schedulers reads its config. */
export type SchedulerKind = {
  readonly className: string;
  /** The fields of Diffusers' constructor, with its defaults. */
  readonly defaults: Partial<SchedulerSettings>;
  /** Of "exp" and "sigmoid", the one that this class has besides the three that all have. */
  readonly extraBetaSchedule?: "exp" | "sigmoid";
  /** Replaces values of related classes (solver_type "bh2" is "midpoint" to DPM-Solver), or refuses them. */
  readonly adapt?: (settings: SchedulerSettings) => Partial<SchedulerSettings>;
};

const defaulted = "_useDefaultValues";

/**
 * Diffusers' `from_config`: fields of this class are read, others kept, and fields that the other scheduler
 * had by default take this class's defaults. Throws InvalidRequest that names the field.
 */
export function readConfig(
  kind: SchedulerKind,
  source: SchedulerFields,
  overrides: SchedulerFields,
): { config: SchedulerConfig; settings: SchedulerSettings } {
  const given = { ...fields(source, fileName(source)), ...fields(overrides, "") };
  checkOverrides(overrides);
  const own: Record<string, unknown> = {};
  for (const [name, { value, where }] of Object.entries(given)) {
    if (!isSettingName(name) || !isRead(kind, name)) continue;
    checkSetting(name, value, where);
    own[name] = value;
  }
  const where = (name: string) => given[name]?.where ?? name;
  const requested = settingsFrom(kind.defaults, own as Partial<SchedulerSettings>);
  checkCombination(kind, requested, where);
  const replaced = kind.adapt?.(requested) ?? {};
  const settings = settingsFrom(kind.defaults, { ...(own as Partial<SchedulerSettings>), ...replaced });
  const carried = Object.fromEntries(Object.entries(given).map(([name, { value }]) => [name, value]));
  const absent = Object.keys(kind.defaults).filter((name) => !Object.hasOwn(given, name));
  const config = { ...kind.defaults, ...carried, ...replaced, _className: kind.className };
  return { config: Object.freeze({ ...config, [defaulted]: absent }), settings };
}

type Field = { readonly value: unknown; readonly where: string };

/** camelCase name -> value, and the name as it was spelt; without the fields that were defaults. */
function fields(source: SchedulerFields, file: string): Record<string, Field> {
  const skipped = source[defaulted] ?? source._use_default_values;
  const names = new Set(Array.isArray(skipped) ? skipped.map((name) => camelCase(String(name))) : []);
  const entries = Object.entries(source)
    .map(([key, value]) => [camelCase(key), { value, where: file + key }] as const)
    .filter(([name]) => name !== defaulted && !names.has(name));
  return Object.fromEntries(entries);
}

/** A config that lists its defaults comes from a scheduler, any other from a file. */
function fileName(source: SchedulerFields): string {
  return defaulted in source ? "" : "scheduler/scheduler_config.json: ";
}

/** Diffusers reads sigma_min and sigma_max from the whole config, also where the class has no such field. */
function isRead(kind: SchedulerKind, name: string): boolean {
  return Object.hasOwn(kind.defaults, name) || name === "sigmaMin" || name === "sigmaMax";
}

/** A file may have any field; an override that no scheduler has is misspelt. */
function checkOverrides(overrides: SchedulerFields): void {
  for (const key of Object.keys(overrides)) {
    if (key.startsWith("_") || isSettingName(camelCase(key))) continue;
    const near = closest(camelCase(key), settingNames);
    const hint = near ? ` Did you mean "${key.includes("_") ? snakeCase(near) : near}"?` : "";
    throw new InvalidRequest(key, overrides[key], `is not a field of any scheduler.${hint}`);
  }
}

function checkCombination(
  kind: SchedulerKind,
  settings: SchedulerSettings,
  where: (name: string) => string,
): void {
  const { className, extraBetaSchedule } = kind;
  const { betaSchedule, trainedBetas } = settings;
  const allowed = [
    "linear",
    "scaled_linear",
    "squaredcos_cap_v2",
    ...(extraBetaSchedule ? [extraBetaSchedule] : []),
  ];
  if (trainedBetas === null && !allowed.includes(betaSchedule)) {
    const rule = `must be one of ${listed(allowed)} for ${className}, got "${betaSchedule}".`;
    throw new InvalidRequest(where("betaSchedule"), betaSchedule, rule);
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
