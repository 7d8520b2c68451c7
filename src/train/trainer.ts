/**
 * @file The one training loop: batches in, gradients, updates, checkpoints, metrics. What is trained is a `Job`;
 * the loop knows neither networks nor data.
 */

import path from "node:path";
import { FileError, InvalidRequest } from "../errors.js";
import { kindOf, readdir, rm, unfinished, writeWhole } from "../files/file-system.js";
import type { JsonObject } from "../files/json.js";
import { freeBytes } from "../files/writable.js";
import { curvesSvg } from "../monitor/curves.js";
import { appendMetrics, readMetrics, type StepMetrics } from "../monitor/metrics.js";
import { readRun, runFile, writeRun } from "../monitor/run.js";
import {
  checkpointBytes,
  checkpointFolder,
  checkpointSteps,
  loadCheckpoint,
  saveCheckpoint,
  type TrainingProgress,
} from "./checkpoint.js";
import type { Position } from "./data/buckets.js";
import { emaDecay } from "./ema.js";
import { learningRate } from "./lr-schedule.js";
import { AdamW, type OptimizerState } from "./optimizer.js";
import type { TrainingOptions } from "./options.js";
import type { ParameterBuffer } from "./parameter-buffer.js";

/** What is trained. */
export interface TrainingTask {
  /** For `run.json` and the page: the command, and by role what is trained and on what. */
  readonly description: JsonObject;
  readonly layout: ParameterBuffer;
  /** Fills in the weights that a new run begins with. */
  initialise(weights: Float32Array): Promise<void>;
  /** Overwrites `into` with the gradient of the batch at `position`, number `batch` of the run. */
  gradient(
    at: { position: Position; batch: number },
    weights: Float32Array,
    into: Float32Array,
  ): Promise<Computed>;
  /** Writes what `weights` have become as a model folder. */
  save(weights: Float32Array): Promise<void>;
  /** Generates the validation images of this step from the saved folder. */
  generateSamples?(step: number): Promise<void>;
}

export type Computed = { terms: Readonly<Record<string, number>>; images: number; next: Position };

export type RunOptions = {
  folder: string;
  options: TrainingOptions;
  resume: boolean;
  signal?: AbortSignal;
  onStep?: (row: StepMetrics, last: number) => void;
  say?: (line: string) => void;
};

export type Finished = { step: number; stopped: boolean };

/**
 * Trains until `maxTrainSteps` or the signal; either way the last thing it does is a checkpoint and a model folder.
 * A FileError, as of a full disk, names the last checkpoint, which is whole.
 */
export async function train(job: TrainingTask, run: RunOptions): Promise<Finished> {
  await openRun(job, run);
  try {
    return await trainOn(job, run);
  } catch (error) {
    throw error instanceof FileError ? error.saying(await whatIsKept(run.folder)) : error;
  }
}

async function whatIsKept(folder: string): Promise<string> {
  const last = (await checkpointSteps(folder)).at(-1);
  return last === undefined
    ? "The run stopped before its first checkpoint; with --resume the same command begins again."
    : `The run stopped; with --resume the same command goes on from ${checkpointFolder(folder, last)}, which is whole.`;
}

async function trainOn(job: TrainingTask, run: RunOptions): Promise<Finished> {
  const { folder, options, signal, say = () => {} } = run;
  const { total } = job.layout;
  const array = () => new Float32Array(total);
  const state: OptimizerState = {
    weights: array(),
    mean: array(),
    square: array(),
    average: options.ema ? array() : undefined,
  };
  const progress = await begin(job, run, state);
  const optimizer = new AdamW({
    beta1: options.adamBeta1,
    beta2: options.adamBeta2,
    epsilon: options.adamEpsilon,
    weightDecay: options.adamWeightDecay,
  });
  const gradient = array();
  const sum = options.gradientAccumulationSteps > 1 ? array() : gradient;

  // A run that was killed after its checkpoint may lack what follows it: the model is written again.
  let kept = (await checkpointSteps(folder)).includes(progress.step) ? progress.step : -1;
  let saved = -1;
  const save = async () => {
    checkFiniteWeights(state.weights, progress.step);
    if (kept !== progress.step)
      await saveCheckpoint(folder, {
        layout: job.layout,
        state,
        progress,
        keep: options.checkpointsTotalLimit,
      });
    kept = progress.step;
    if (saved === progress.step) return;
    await job.save(state.average ?? state.weights);
    await writeCurves(folder);
    saved = progress.step;
  };
  while (progress.step < options.maxTrainSteps && !signal?.aborted) {
    const started = performance.now();
    const computed = await accumulate(job, options, progress, { state, gradient, sum, optimizer, signal });
    if (!computed) break;
    const rate = rateOf(options, progress.step);
    const { norm } = optimizer.update(state, sum, {
      step: progress.step + 1,
      learningRate: rate,
      accumulated: options.gradientAccumulationSteps,
      maxNorm: options.maxGradNorm ?? undefined,
      emaDecay: options.ema ? emaDecay(progress.step + 1, options.ema) : undefined,
    });
    Object.assign(progress, {
      step: progress.step + 1,
      batches: computed.batches,
      position: computed.position,
    });
    const seconds = (performance.now() - started) / 1000;
    const row = metrics(progress, computed, { rate, norm, seconds });
    await appendMetrics(folder, row);
    run.onStep?.(row, options.maxTrainSteps);
    checkFinite({ ...computed.terms, "norm of the gradient": norm }, progress.step);
    if (progress.step % options.checkpointingSteps === 0) await save();
    if (options.validationSteps > 0 && progress.step % options.validationSteps === 0 && job.generateSamples) {
      await save();
      await job.generateSamples(progress.step);
    }
  }
  await save();
  const stopped = progress.step < options.maxTrainSteps;
  if (stopped)
    say(`stopped at step ${progress.step}, which is saved; the same command with --resume goes on`);
  return { step: progress.step, stopped };
}

type Arrays = {
  state: OptimizerState;
  gradient: Float32Array;
  sum: Float32Array;
  optimizer: AdamW;
  signal: AbortSignal | undefined;
};
type Accumulated = { terms: Record<string, number>; images: number; batches: number; position: Position };

/** The gradients of one update; undefined when stopped in between, which leaves the run as it was. */
async function accumulate(
  job: TrainingTask,
  { gradientAccumulationSteps: times }: TrainingOptions,
  progress: TrainingProgress,
  { state, gradient, sum, optimizer, signal }: Arrays,
): Promise<Accumulated | undefined> {
  const result: Accumulated = {
    terms: {},
    images: 0,
    batches: progress.batches,
    position: progress.position,
  };
  for (let i = 0; i < times; i++) {
    if (signal?.aborted) return undefined;
    const at = { position: result.position, batch: result.batches };
    const { terms, images, next } = await job.gradient(at, state.weights, i === 0 ? sum : gradient);
    if (i > 0) optimizer.accumulate(sum, gradient);
    for (const [name, value] of Object.entries(terms))
      result.terms[name] = (result.terms[name] ?? 0) + value / times;
    result.images += images;
    result.batches++;
    result.position = next;
  }
  return result;
}

/** A new run's weights, or the last checkpoint's. */
async function begin(
  job: TrainingTask,
  { folder, resume, say = () => {} }: RunOptions,
  state: OptimizerState,
): Promise<TrainingProgress> {
  const last = (await checkpointSteps(folder)).at(-1);
  if (resume && last !== undefined) {
    say(`going on from step ${last}`);
    return loadCheckpoint(folder, last, { layout: job.layout, state });
  }
  if (resume) say("no checkpoint yet: beginning anew");
  await job.initialise(state.weights);
  state.average?.set(state.weights);
  return { step: 0, batches: 0, position: { epoch: 0, batch: 0 } };
}

/** Settings that may differ when a run goes on: they decide how far and how often, not what is computed. */
const free: ReadonlySet<string> = new Set([
  "checkpointingSteps",
  "checkpointsTotalLimit",
  "validationSteps",
  "validationPrompts",
  "threads",
]);

/** Rates that do not depend on where the run ends. */
const endless: ReadonlySet<string> = new Set(["constant", "constant_with_warmup"]);

/** Writes `run.json` for a new run; for one that goes on, checks that it is the same. */
async function openRun(job: TrainingTask, { folder, options, resume }: RunOptions): Promise<void> {
  const before = (await kindOf(path.join(folder, runFile))) ? await readRun(folder) : undefined;
  const { command, ...roles } = job.description;
  const models = Object.fromEntries(Object.entries(roles).map(([role, value]) => [role, String(value)]));
  if (before && !resume) {
    const rule = `must be a new folder, got one with a run in it. Add --resume to go on, or choose another.`;
    throw new InvalidRequest("output", folder, rule);
  }
  if (before) {
    checkSame({ command: before.command, ...before.models }, { command, ...models });
    const mayDiffer = (key: string) =>
      free.has(key) || (key === "maxTrainSteps" && endless.has(options.lrScheduler));
    checkSame(before.options, options, mayDiffer);
    await sweep(folder);
  }
  const done = (await checkpointSteps(folder)).at(-1) ?? 0;
  if (done < options.maxTrainSteps) await checkRoom(job.layout, folder, options);
  const started = before?.started ?? new Date().toISOString();
  await writeRun(folder, {
    command: String(command),
    started,
    steps: options.maxTrainSteps,
    models,
    options,
  });
}

/** Refuses a disk that has no room for one checkpoint and what it was trained to: the run would end at its first. */
async function checkRoom(layout: ParameterBuffer, folder: string, { ema }: TrainingOptions): Promise<void> {
  const bytes = checkpointBytes(layout, { ema: ema !== null }) + 4 * layout.total;
  const free = await freeBytes(folder);
  if (free >= bytes) return;
  const gigabytes = (n: number) => `${(n / 1e9).toFixed(2)} GB`;
  const rule = `must have ${gigabytes(bytes)} of free disk for a checkpoint and the model, got ${gigabytes(free)}`;
  throw new InvalidRequest("output", folder, `${rule} at ${folder}. Free some room, or choose another disk.`);
}

/** Removes what killed processes left half written: a U-Net's files would fill the disk, kill by kill. */
async function sweep(folder: string): Promise<void> {
  for (const name of await readdir(folder, { recursive: true }))
    if (unfinished(name) || unfinishedFolders.includes(path.basename(name).replace(/-[0-9a-f-]{36}$/, "")))
      await rm(path.join(folder, name), { recursive: true, force: true });
}

/** Of checkpoints and of the model. */
const unfinishedFolders: readonly string[] = [".writing", ".model.partial"];

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

const rateOf = (options: TrainingOptions, update: number): number =>
  learningRate(update, {
    schedule: options.lrScheduler,
    learningRate: options.learningRate,
    warmupSteps: options.lrWarmupSteps,
    totalSteps: options.maxTrainSteps,
    cycles: options.lrNumCycles,
  });

function metrics(
  progress: TrainingProgress,
  computed: Accumulated,
  { rate, norm, seconds }: { rate: number; norm: number; seconds: number },
): StepMetrics {
  const { total, ...terms } = computed.terms;
  return {
    step: progress.step,
    epoch: progress.position.epoch,
    loss: total!,
    ...terms,
    lr: rate,
    gradNorm: norm,
    imagesPerSecond: computed.images / seconds,
    secondsPerStep: seconds,
    time: new Date().toISOString(),
  };
}

function checkFinite(values: Readonly<Record<string, number>>, step: number): void {
  const broken = Object.entries(values).find(([, value]) => !Number.isFinite(value));
  if (!broken) return;
  const rule = `must be finite, got ${broken[1]} at step ${step}.`;
  const remedy = "Lower learningRate, or clip with maxGradNorm; the last checkpoint is whole.";
  throw new InvalidRequest(broken[0], broken[1], `${rule} ${remedy}`);
}

/** What has diverged must not push whole checkpoints out. */
function checkFiniteWeights(weights: Float32Array, step: number): void {
  for (const x of weights) if (!Number.isFinite(x)) checkFinite({ weights: x }, step);
}

async function writeCurves(folder: string): Promise<void> {
  const svg = curvesSvg(await readMetrics(folder), { title: path.basename(folder) });
  await writeWhole(path.join(folder, "curves.svg"), svg);
}
