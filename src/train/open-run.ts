/** @file The folder of a run before its first step: a new run's `run.json`, or a check that it is the same run. */

import path from "node:path";
import { byteSize } from "../byte-size.js";
import { InvalidRequest } from "../errors.js";
import { readdir, rm, unfinished } from "../files/file-system.js";
import type { JsonObject } from "../files/json.js";
import { freeBytes } from "../files/writable.js";
import { hasRun, readRun, writeRun } from "../monitor/run.js";
import { checkpointBytes, checkpointSteps, unfinishedCheckpoint } from "./checkpoint.js";
import { unfinishedModel } from "./export.js";
import { type TrainingOptions, trainingOptions } from "./options.js";
import type { ParameterBuffer } from "./parameter-buffer.js";

/** What is trained: for `run.json`, and for the size of a checkpoint. */
type Trained = {
  readonly description: JsonObject;
  readonly layout: ParameterBuffer;
  readonly targetDecay?: number | undefined;
};

export type RunFolderOptions = {
  folder: string;
  options: TrainingOptions;
  /** Continues from the last checkpoint in `folder`; without one it begins anew. */
  resume: boolean;
};

/** Settings that may change when a run is resumed: they decide how far and how often, not what is computed. */
export const changeable: ReadonlySet<string> = new Set([
  "checkpointingSteps",
  "checkpointsTotalLimit",
  "validationSteps",
  "validationPrompts",
  "threads",
  "device",
  "allowCpuFallback",
  "allowSoftwareAdapter",
]);

/** Learning rates that do not depend on the number of steps. */
const endless: ReadonlySet<string> = new Set(["constant", "constant_with_warmup"]);

/**
 * Writes `run.json` for a new run; for a resumed one, checks that it is the same and removes unfinished files. Returns
 * warnings.
 */
export async function openRun(
  task: Trained,
  { folder, options, resume }: RunFolderOptions,
): Promise<string[]> {
  const before = (await hasRun(folder)) ? await readRun(folder) : undefined;
  const { command, ...roles } = task.description;
  const models = Object.fromEntries(Object.entries(roles).map(([role, value]) => [role, String(value)]));
  if (before && !resume) {
    const rule = "must be a new folder, got one with a run in it. Add `resume` to go on, or choose another.";
    throw new InvalidRequest("output", folder, rule);
  }
  if (before) {
    checkSame({ command: before.command, ...before.models }, { command, ...models });
    const mayDiffer = (key: string) =>
      changeable.has(key) || (key === "maxTrainSteps" && endless.has(options.lrScheduler));
    // A run of an earlier version lacks the settings that came later: it had their defaults.
    checkSame({ ...trainingOptions({}), ...before.options }, options, mayDiffer);
    await removeUnfinished(folder);
  }
  const done = (await checkpointSteps(folder)).at(-1) ?? 0;
  if (done < options.maxTrainSteps) await checkFreeSpace(task, folder, options);
  await writeRun(folder, {
    command: String(command),
    started: before?.started ?? new Date().toISOString(),
    steps: options.maxTrainSteps,
    models,
    options,
  });
  return before && done > 0 ? otherDevice(before.options.device ?? "cpu", options.device, done) : [];
}

/** Results are the same bit for bit on one device only. */
const otherDevice = (before: unknown, now: string, step: number): string[] =>
  before === now
    ? []
    : [`device: was "${before}" up to step ${step} and is "${now}" from there on, whose rounding is another`];

/** A disk without room for one checkpoint and the model is refused: the run would end at its first checkpoint. */
async function checkFreeSpace(
  { layout, targetDecay }: Trained,
  folder: string,
  { ema }: TrainingOptions,
): Promise<void> {
  const bytes =
    checkpointBytes(layout, { ema: ema !== null, target: targetDecay !== undefined }) + 4 * layout.total;
  const free = await freeBytes(folder);
  if (free >= bytes) return;
  const rule = `must have ${byteSize(bytes)} of free disk for a checkpoint and the model, got ${byteSize(free)}`;
  throw new InvalidRequest("output", folder, `${rule} at ${folder}. Free some room, or choose another disk.`);
}

/** Removes what killed processes left half written: a U-Net's files would fill the disk, kill by kill. */
async function removeUnfinished(folder: string): Promise<void> {
  for (const name of await readdir(folder, { recursive: true })) {
    const last = path.basename(name);
    if (unfinished(name) || unfinishedCheckpoint(last) || last === unfinishedModel)
      await rm(path.join(folder, name), { recursive: true, force: true });
  }
}

function checkSame(
  old: Readonly<Record<string, unknown>>,
  now: Readonly<Record<string, unknown>>,
  mayDiffer: (key: string) => boolean = () => false,
): void {
  const text = JSON.stringify;
  const differs = Object.keys(now).find((key) => !mayDiffer(key) && text(old[key]) !== text(now[key]));
  if (differs === undefined) return;
  const rule = `must stay ${text(old[differs])} when a run goes on, got ${text(now[differs])}.`;
  throw new InvalidRequest(differs, now[differs], `${rule} Begin another run to change it.`);
}
