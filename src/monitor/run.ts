/** @file `run.json` of a training run: the command, its models and its options. */

import path from "node:path";
import { z } from "zod";
import { InvalidRequest, ModelError } from "../errors.js";
import { ifThere, kindOf, readFile, writeWhole } from "../files/file-system.js";
import { schemaProblem } from "../validation.js";
import { runFile } from "./run-folder.js";

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

/** Whether a folder holds a run. */
export const hasRun = async (folder: string): Promise<boolean> =>
  (await kindOf(path.join(folder, runFile))) !== undefined;

/** Writes `run.json` whole or not at all. */
export async function writeRun(folder: string, run: Run): Promise<void> {
  await writeWhole(path.join(folder, runFile), `${JSON.stringify(run, undefined, 2)}\n`);
}

/** Reads `run.json`; InvalidRequest if `folder` holds no run, ModelError if the file is broken. */
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
  const { field, rule } = schemaProblem(error, value);
  throw new ModelError(file, `${field || "run"}: ${rule}`);
}
