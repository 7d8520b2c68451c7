/** @file What a server's operator decides about checking images, of all models or of one, and what requests may choose then. */

import { InvalidRequest, listed } from "../errors.js";
import type { LoadOptions } from "../pipeline/load-options.js";
import { defaultSafety, isStricter, type SafetyRule, safetyRules } from "../pipeline/safety-rules.js";
import type { ModelSafety } from "./model-schemas.js";

/** Plain data, which can be sent to a thread. */
export type ServedSafety = {
  /** The least strict rule that requests may choose, of every model. */
  safety?: SafetyRule;
  /** Of models by id or name. */
  modelSafety?: Readonly<Record<string, SafetyRule>>;
  /** Checks the models that ship no checker. */
  safetyChecker?: string;
};

/** Throws an InvalidRequest that names the option. */
export function checkServedSafety({ safety, modelSafety = {} }: ServedSafety): void {
  for (const rule of [safety, ...Object.values(modelSafety)]) {
    if (rule === undefined || safetyRules.includes(rule)) continue;
    const got = JSON.stringify(rule);
    throw new InvalidRequest("safety", rule, `must be one of ${listed(safetyRules)}, got ${got}.`);
  }
}

/** The operator's rule of the model of this id, which may be named without its owner. */
export const operatorRule = (
  { safety, modelSafety = {} }: ServedSafety,
  id: string,
): SafetyRule | undefined => modelSafety[id] ?? modelSafety[id.slice(id.indexOf("/") + 1)] ?? safety;

/** Refuses rules of models that are not among those of `ids`. */
export function checkSafetyModels({ modelSafety = {} }: ServedSafety, ids: readonly string[]): void {
  const known = ids.flatMap((id) => [id, id.slice(id.indexOf("/") + 1)]);
  const unknown = Object.keys(modelSafety).find((name) => !known.includes(name));
  if (unknown === undefined) return;
  const rule = `must be given for a model of ${listed(ids, 20)}, got "${unknown}".`;
  throw new InvalidRequest("safety", unknown, rule);
}

/** What a model is opened with: without a checker where the operator switched it off. */
export function safetyLoadOf(
  { safetyChecker }: ServedSafety,
  rule: SafetyRule | undefined,
  shipsChecker: boolean,
): Pick<LoadOptions, "safetyChecker"> {
  if (rule === "off") return { safetyChecker: null };
  return shipsChecker || safetyChecker === undefined ? {} : { safetyChecker };
}

/** What requests for a model may choose; InvalidRequest where the operator's rule needs a checker that it lacks. */
export function modelSafetyOf(
  rule: SafetyRule | undefined,
  { id, hasChecker }: { id: string; hasChecker: boolean },
): ModelSafety {
  if (!hasChecker && rule !== undefined && rule !== "off") {
    const must = `must be off for "${id}", which ships no safety checker, got ${rule}.`;
    throw new InvalidRequest("safety", rule, `${must} Name one: safetyChecker, --safety-checker.`);
  }
  const least = rule ?? "off";
  const choices = hasChecker ? safetyRules.filter((one) => !isStricter(least, one)) : (["off"] as const);
  return { default: rule ?? defaultSafety(hasChecker), choices: [...choices] };
}

/** The rule of a request; InvalidRequest for one that its model's operator does not allow. */
export function requestedSafety(
  given: SafetyRule | undefined,
  info: { id: string; safety?: ModelSafety | undefined },
): SafetyRule | undefined {
  const { safety } = info;
  if (!safety) return given;
  if (given === undefined) return safety.default;
  if (safety.choices.includes(given)) return given;
  const why = safety.choices.length > 1 ? "on this server" : `for "${info.id}" on this server`;
  throw new InvalidRequest("safety", given, `must be ${safety.choices.join(" or ")} ${why}, got ${given}.`);
}

/** A line for a log when a server starts. */
export function safetyLine({
  id,
  safety,
}: {
  id: string;
  safety?: ModelSafety | undefined;
}): string | undefined {
  if (!safety) return undefined;
  if (safety.choices.length === 1 && safety.default === "off") return `${id}: images are not checked`;
  const lower = safety.choices.includes("off") ? ", unless a request says off" : "";
  return `${id}: images are checked; flagged ones are ${safety.default === "refuse" ? "refused" : "blurred"}${lower}`;
}
