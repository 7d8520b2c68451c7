/** @file Runs the sections over a golden folder: lists their checks and runs each. */

import { adapters } from "../adapters.js";
import { attention } from "../attention.js";
import { clip } from "../clip.js";
import { distill } from "../distill/distill.js";
import { prompts } from "../prompts/prompts.js";
import { random } from "../random.js";
import { runs } from "../runs/runs.js";
import { safety } from "../safety.js";
import { schedulers } from "../schedulers/schedulers.js";
import { single } from "../single/single.js";
import { stages } from "../stages/stages.js";
import { tokens } from "../tokens.js";
import { type Context, orFailingCheck, type Section, uncovered } from "./check.js";
import { type CheckResult, runCheck } from "./compare.js";
import { onDevice } from "./half-precision.js";
import { others, whyNotCovered } from "./not-covered.js";
import { withQuantized } from "./quantized.js";
import { failed } from "./report.js";

/** In the order of the report. */
export const sections: Readonly<Record<string, Section>> = {
  random,
  tokens,
  schedulers,
  prompts,
  stages,
  clip,
  adapters,
  single,
  runs,
  safety,
  attention,
  distil: distill,
  folder: others,
};

/** Runs every check whose "section/name" matches a pattern of `only`, or all without any; `onResult` is called with each result as it is done. */
export async function conform(
  context: Context,
  {
    only = [],
    onResult = () => {},
  }: { only?: readonly string[]; onResult?: (result: CheckResult) => void } = {},
): Promise<CheckResult[]> {
  const results: CheckResult[] = [];
  const { weights } = context.engine.device;
  const adapted = weights === "stored" ? await onDevice(context) : withQuantized(weights);
  for (const [section, list] of Object.entries(sections)) {
    for (const check of await orFailingCheck("(listing)", () => list(context))) {
      const name = `${section}/${check.name}`;
      if (only.length > 0 && !only.some((pattern) => matches(name, pattern))) continue;
      const reason = whyNotCovered(name);
      const compared = reason === undefined ? adapted(check, name) : uncovered(name, reason);
      const result = { ...(await runCheck(compared)), name };
      results.push(result);
      onResult(result);
    }
  }
  return results;
}

/** 0 if something was compared and nothing is out. */
export function exitCode(results: readonly CheckResult[]): 0 | 1 {
  const somethingCompared = results.some((r) => r.tensors.length > 0);
  return somethingCompared && !results.some(failed) ? 0 : 1;
}

/** A pattern with * or ? must match the whole name; any other is looked for inside it. */
function matches(name: string, pattern: string): boolean {
  if (!/[*?]/.test(pattern)) return name.includes(pattern);
  const source = pattern
    .replace(/[.+^${}()|[\]\\]/g, "\\$&")
    .replaceAll("*", ".*")
    .replaceAll("?", ".");
  return new RegExp(`^${source}$`).test(name);
}
