/** @file What becomes of images that a safety checker flags: the rules by name, and which is stricter. Must not import Node. */

import { InvalidRequest } from "../errors.js";

/**
 * "off": nothing is checked. "blur": a flagged image is blurred beyond recognition, with a warning. "refuse": where one image
 * is flagged, none is given.
 */
export type SafetyRule = "off" | "blur" | "refuse";

/** The rules, the least strict first. */
export const safetyRules = ["off", "blur", "refuse"] as const satisfies readonly SafetyRule[];

export const isStricter = (rule: SafetyRule, than: SafetyRule): boolean =>
  safetyRules.indexOf(rule) > safetyRules.indexOf(than);

/** The rule of a request that names none. */
export const defaultSafety = (hasChecker: boolean): SafetyRule => (hasChecker ? "blur" : "off");

/** The rule of a request, the default where it names none; InvalidRequest for one that nothing here can follow. */
export function safetyRuleOf(given: SafetyRule | undefined, hasChecker: boolean): SafetyRule {
  const rule = given ?? defaultSafety(hasChecker);
  if (rule === "off" || hasChecker) return rule;
  const must = `must be off, since the model was opened without a safety checker, got ${rule}.`;
  throw new InvalidRequest("safety", given, `${must} Name one: safetyChecker, --safety-checker.`);
}
