/** @file Runs the sections over a golden folder: computes each row, then opens its golden data, then compares. */

import { compare } from "./compare.js";
import { distill } from "./distill/distill.js";
import { random } from "./random.js";
import { failed, type Result } from "./report.js";
import { type Context, orFailing, type Row, type Section } from "./row.js";
import { runs } from "./runs/runs.js";
import { schedulers } from "./schedulers/schedulers.js";
import { stages } from "./stages/stages.js";
import { tokens } from "./tokens.js";

/** In the order of the report. */
export const sections: Readonly<Record<string, Section>> = {
  random,
  tokens,
  schedulers,
  stages,
  runs,
  distil: distill,
};

/** Compares every row whose "section/name" matches `only`; `onResult` hears of each as it is done. */
export async function conform(
  context: Context,
  { only, onResult = () => {} }: { only?: string; onResult?: (result: Result) => void } = {},
): Promise<Result[]> {
  const results: Result[] = [];
  for (const [section, rows] of Object.entries(sections)) {
    for (const row of await orFailing("(listing)", () => rows(context))) {
      const name = `${section}/${row.name}`;
      if (only !== undefined && !matches(name, only)) continue;
      const result = { name, ...(await compared(row)) };
      results.push(result);
      onResult(result);
    }
  }
  return results;
}

/** 0 if something was compared and nothing is out. */
export function exitCode(results: readonly Result[]): 0 | 1 {
  const somethingCompared = results.some((r) => r.comparisons.length > 0);
  return somethingCompared && !results.some(failed) ? 0 : 1;
}

async function compared(row: Row): Promise<Omit<Result, "name">> {
  try {
    const computed = await row.compute();
    const golden = await row.expected();
    if (golden.size === 0) throw new Error("its golden data holds nothing to compare");
    return { comparisons: compare(computed, golden) };
  } catch (error) {
    return { comparisons: [], error: (error as Error).message };
  }
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
