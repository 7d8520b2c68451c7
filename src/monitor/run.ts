/** @file A run folder's `run.json`: what was started, with which options. Knows no trainer and no page. */

import path from "node:path";
import { z } from "zod";
import { InvalidRequest, ModelError } from "../errors.js";
import { ifThere, readFile, writeWhole } from "../files/file-system.js";

export const runFile = "run.json";

const runSchema = z.object({
  /** `distill` or `train`. */
  command: z.string(),
  started: z.iso.datetime({ offset: true }),
  /** Optimizer steps planned. */
  steps: z.number().int().positive(),
  /** Names or folders by role: teacher, student, ... */
  models: z.record(z.string(), z.string()),
  options: z.record(z.string(), z.unknown()),
});

export type Run = z.infer<typeof runSchema>;

/** Writes `run.json` beside and renames it, so that no reader meets half of it. */
export async function writeRun(folder: string, run: Run): Promise<void> {
  await writeWhole(path.join(folder, runFile), `${JSON.stringify(run, undefined, 2)}\n`);
}

/** Throws an InvalidRequest if `folder` holds no run, a ModelError if its `run.json` is broken. */
export async function readRun(folder: string): Promise<Run> {
  const file = path.join(folder, runFile);
  const text = await ifThere(() => readFile(file, "utf8"));
  if (text === undefined) {
    const rule = `must be the output of koala distill or koala train, got "${folder}", which has no ${runFile}.`;
    throw new InvalidRequest("folder", folder, rule);
  }
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new ModelError(file, `must be JSON, got ${(error as Error).message}.`);
  }
  const { data, error } = runSchema.safeParse(value);
  if (data) return data;
  throw new ModelError(
    file,
    error.issues.map((i) => `${i.path.join(".") || "run"}: ${i.message}`).join("; "),
  );
}
