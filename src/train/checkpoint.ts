/**
 * @file Checkpoints: everything a run needs to go on bit for bit. A checkpoint is a folder that is written beside and
 * renamed, so that whatever moment the process dies at, the newest one with its final name is whole.
 */

import { randomUUID } from "node:crypto";
import path from "node:path";
import { ModelError } from "../errors.js";
import { fileErrorAt } from "../files/file-errors.js";
import {
  ifThere,
  kindOf,
  makeFolder,
  readdir,
  readJson,
  rename,
  rm,
  writeWhole,
} from "../files/file-system.js";
import { checkpointsFolder, stepFolder, stepOf } from "../monitor/run-folder.js";
import { openSafetensors, type SafetensorsFile, writeSafetensors } from "../weights/safetensors-file.js";
import { damagedFile } from "./damaged-file.js";
import type { Position } from "./data/buckets.js";
import type { OptimizerState } from "./optimizer.js";
import type { ParameterBuffer } from "./parameter-buffer.js";

/** The position of a run: with `OptimizerState`, all that a checkpoint holds. */
export type TrainingProgress = {
  /** Updates done. */
  step: number;
  /** Batches computed, several to an update when gradients are accumulated. */
  batches: number;
  position: Position;
};

/** The folder of the checkpoint of this step. */
export const checkpointFolder = (folder: string, step: number): string =>
  path.join(folder, checkpointsFolder, stepFolder(step));

/** Folders that are not whole: being written, or being removed. */
const temporaryFolder = () => `.writing-${randomUUID()}`;

/** Whether a killed process left a folder of this name unfinished. */
export const unfinishedCheckpoint = (name: string): boolean => /^\.writing-[0-9a-f-]+$/.test(name);

const arrays = ["weights", "mean", "square", "average", "target"] as const;

/** The steps of the checkpoints in a run's folder, oldest first. */
export async function checkpointSteps(folder: string): Promise<number[]> {
  const names = (await ifThere(() => readdir(path.join(folder, checkpointsFolder)))) ?? [];
  return names.flatMap((name) => stepOf(name) ?? []).sort((a, b) => a - b);
}

/** Bytes of a checkpoint on disk, without the few of names and numbers. */
export const checkpointBytes = (
  { total }: ParameterBuffer,
  { ema, target }: { ema: boolean; target: boolean },
): number => 4 * total * (arrays.length - (ema ? 0 : 1) - (target ? 0 : 1));

/** Writes a checkpoint and removes the oldest beyond `keep`. */
export async function saveCheckpoint(
  folder: string,
  {
    layout,
    state,
    progress,
    keep,
  }: { layout: ParameterBuffer; state: OptimizerState; progress: TrainingProgress; keep: number | null },
): Promise<void> {
  const parent = path.join(folder, checkpointsFolder);
  const temporary = path.join(parent, temporaryFolder());
  try {
    await makeFolder(temporary);
    const tensors = arrays.flatMap((array) => {
      const parameters = state[array];
      if (!parameters) return [];
      return [...layout.slices].map(
        ([key, { shape }]) =>
          [`${array}/${key}`, { dtype: "F32" as const, shape, data: layout.view(parameters, key) }] as const,
      );
    });
    await writeSafetensors(path.join(temporary, "state.safetensors"), new Map(tensors));
    await writeWhole(path.join(temporary, "progress.json"), `${JSON.stringify(progress)}\n`);
    await discard(parent, stepFolder(progress.step));
    await rename(temporary, path.join(parent, stepFolder(progress.step)));
  } catch (error) {
    await rm(temporary, { recursive: true, force: true }).catch(() => undefined); // the first failure is the one reported
    throw fileErrorAt(error, "write", checkpointFolder(folder, progress.step));
  }
  await removeOld(folder, keep);
}

async function removeOld(folder: string, keep: number | null): Promise<void> {
  const parent = path.join(folder, checkpointsFolder);
  const old = keep === null ? [] : (await checkpointSteps(folder)).slice(0, -keep).map(stepFolder);
  const left = (await readdir(parent)).filter(unfinishedCheckpoint);
  for (const n of left) await rm(path.join(parent, n), { recursive: true, force: true });
  for (const n of old) await discard(parent, n);
}

/** Takes the name away first: a removal that is cut short must not leave half a checkpoint under it. */
async function discard(parent: string, name: string): Promise<void> {
  if (!(await kindOf(path.join(parent, name)))) return;
  const aside = path.join(parent, temporaryFolder());
  await rename(path.join(parent, name), aside);
  await rm(aside, { recursive: true, force: true });
}

/** Reads a checkpoint into `state`; ModelError if it is damaged or does not belong to this layout. */
export async function loadCheckpoint(
  folder: string,
  step: number,
  { layout, state }: { layout: ParameterBuffer; state: OptimizerState },
): Promise<TrainingProgress> {
  const at = checkpointFolder(folder, step);
  const read = <T>(name: string, reader: (file: string) => Promise<T>): Promise<T> =>
    reader(path.join(at, name)).catch(async (error: unknown) => {
      throw damagedFile(path.join(at, name), error, await withoutCheckpoint(folder, step));
    });
  const file = await read("state.safetensors", openSafetensors);
  for (const array of arrays) {
    const parameters = state[array];
    if (parameters) await readInto(file, array, layout, parameters);
  }
  return (await read("progress.json", readJson)) as unknown as TrainingProgress;
}

/** The remedy for a damaged checkpoint: the run goes on from the one before it. */
async function withoutCheckpoint(folder: string, step: number): Promise<string> {
  const before = (await checkpointSteps(folder)).filter((other) => other < step).at(-1);
  const start = before === undefined ? "begins anew" : `goes on from ${checkpointFolder(folder, before)}`;
  return `Delete the folder ${checkpointFolder(folder, step)} and resume again: the run ${start}.`;
}

async function readInto(
  file: SafetensorsFile,
  array: string,
  layout: ParameterBuffer,
  parameters: Float32Array,
): Promise<void> {
  for (const [key, { shape }] of layout.slices) {
    const found = file.tensors.get(`${array}/${key}`);
    if (found?.shape.join() !== shape.join()) {
      const got = found ? `[${found.shape.join(", ")}]` : "nothing";
      throw new ModelError(
        file.path,
        `${array}/${key}: must be [${shape.join(", ")}], got ${got}. Was it written by this run?`,
      );
    }
    layout.view(parameters, key).set(await file.readFloats(`${array}/${key}`));
  }
}
