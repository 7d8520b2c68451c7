/** @file What becomes of images that a safety checker flags: the rules by name, which is stricter, and what is said of it. Must not import Node. */

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

/** What is said of the images that were blurred, and of one of them in its own metadata. */
export const flaggedWarning = (flagged: number, of: number): string =>
  `safety: the safety checker flagged ${of === 1 ? "the image" : `${flagged} of ${of} images`}, so ` +
  `${flagged === 1 ? "it is" : "they are"} blurred`;
export const flaggedImageWarning = "safety: the safety checker flagged this image, so it is blurred";

/** What a user is to know before the first image. */
export const safetyNotice = (rule: SafetyRule, hasChecker: boolean): string =>
  rule === "off"
    ? `images are not checked: ${hasChecker ? "safety is off" : "the model ships no safety checker"}`
    : `images are checked: flagged ones are ${rule === "blur" ? "blurred" : "refused"} (safety: ${rule})`;
