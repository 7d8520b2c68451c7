/**
 * @file The training loop: gradients, updates, checkpoints, metrics and validation images of any `TrainingTask`.
 * Independent of the networks and the data.
 */

import path from "node:path";
import { FileError, InvalidRequest } from "../errors.js";
import { writeWhole } from "../files/file-system.js";
import type { JsonObject } from "../files/json.js";
import { curvesSvg } from "../monitor/curves.js";
import { appendMetrics, readMetrics, type StepMetrics } from "../monitor/metrics.js";
import { curvesFile } from "../monitor/run-folder.js";
import {
  checkpointFolder,
  checkpointSteps,
  loadCheckpoint,
  saveCheckpoint,
  type TrainingProgress,
} from "./checkpoint.js";
import type { Position } from "./data/buckets.js";
import { emaDecay } from "./ema.js";
import type { TrainingEvent, TrainingResult } from "./events.js";
import { learningRate } from "./lr-schedule.js";
import { openRun, type RunFolderOptions } from "./open-run.js";
import { AdamW, type OptimizerState } from "./optimizer.js";
import type { TrainingOptions } from "./options.js";
import type { ParameterBuffer } from "./parameter-buffer.js";
import { vectors } from "./vectors/vectors.js";

/** What is trained. */
export interface TrainingTask {
  /** For `run.json` and the monitor: the command, and by role the models and the data. */
  readonly description: JsonObject;
  readonly layout: ParameterBuffer;
  /** The decay of a target network's weights, where the task has one: they begin as a copy and follow every update. */
  readonly targetDecay?: number | undefined;
  /** Fills in the weights that a new run begins with. */
  initialise(weights: Float32Array): Promise<void>;
  /**
   * Overwrites `into` with the gradient of the batch at `position`, number `batch` of the run. `target` holds the target
   * network's weights, where there is one.
   */
  gradient(
    at: { position: Position; batch: number },
    weights: Float32Array,
    into: Float32Array,
    target?: Float32Array,
  ): Promise<BatchLoss>;
  /** Writes `weights` as a model folder. */
  save(weights: Float32Array): Promise<void>;
  /** Generates the validation images of this step from the saved folder. */
  generateSamples?(step: number): Promise<void>;
  /** Frees the programs. The task must not be used afterwards. */
  release(): Promise<void>;
}

/** The losses of a batch of `images`, and the position after it. */
export type BatchLoss = { terms: Readonly<Record<string, number>>; images: number; next: Position };

export type RunOptions = RunFolderOptions & {
  signal?: AbortSignal | undefined;
  onEvent?: ((event: TrainingEvent) => void) | undefined;
};

/**
 * Trains until `maxTrainSteps` or the signal; either way the last thing it does is a checkpoint and a model folder.
 * A FileError, as of a full disk, names the last checkpoint, which is whole. The task is released.
 */
export async function train(task: TrainingTask, run: RunOptions): Promise<TrainingResult> {
  try {
    for (const message of await openRun(task, run)) run.onEvent?.({ type: "warning", message });
    return await trainSteps(task, run).catch(async (error: unknown) => {
      throw error instanceof FileError ? error.saying(await lastCheckpoint(run.folder)) : error;
    });
  } finally {
    await task.release();
  }
}

async function lastCheckpoint(folder: string): Promise<string> {
  const last = (await checkpointSteps(folder)).at(-1);
  return last === undefined
    ? "The run stopped before its first checkpoint; with `resume` it begins again."
    : `The run stopped; with \`resume\` it goes on from ${checkpointFolder(folder, last)}, which is whole.`;
}

/** The arrays and the position of a run. */
type Training = {
  state: OptimizerState;
  progress: TrainingProgress;
  optimizer: AdamW;
  /** The gradient of one batch, and the sum over those of an update; the same array where an update is one batch. */
  gradient: Float32Array;
  sum: Float32Array;
};

async function trainSteps(task: TrainingTask, run: RunOptions): Promise<TrainingResult> {
  const { folder, options, signal } = run;
  const training = await begin(task, run);
  const { progress } = training;
  const save = await saver(task, run, training);
  while (progress.step < options.maxTrainSteps && !signal?.aborted) {
    const row = await step(task, options, training, signal);
    if (!row) break;
    await appendMetrics(folder, row.metrics);
    run.onEvent?.({ type: "step", metrics: row.metrics, steps: options.maxTrainSteps });
    checkFinite(row.finite, progress.step);
    if (progress.step % options.checkpointingSteps === 0) await save();
    if (
      options.validationSteps > 0 &&
      progress.step % options.validationSteps === 0 &&
      task.generateSamples
    ) {
      await save();
      await task.generateSamples(progress.step);
    }
  }
  await save();
  return { step: progress.step, stopped: progress.step < options.maxTrainSteps };
}

/** Allocates the arrays, and fills in a new run's weights or the last checkpoint's. */
async function begin(
  task: TrainingTask,
  { folder, options, resume, onEvent }: RunOptions,
): Promise<Training> {
  const { layout } = task;
  const accumulates = options.gradientAccumulationSteps > 1;
  const [hasAverage, hasTarget] = [Boolean(options.ema), task.targetDecay !== undefined];
  const count = 4 + [accumulates, hasAverage, hasTarget].filter(Boolean).length;
  const arrays = vectors(count, layout.total);
  const array = () => arrays.pop()!;
  const state: OptimizerState = {
    weights: array(),
    mean: array(),
    square: array(),
    average: hasAverage ? array() : undefined,
    target: hasTarget ? array() : undefined,
  };
  const last = resume ? (await checkpointSteps(folder)).at(-1) : undefined;
  let progress: TrainingProgress = { step: 0, batches: 0, position: { epoch: 0, batch: 0 } };
  if (last === undefined) {
    await task.initialise(state.weights);
    state.average?.set(state.weights);
    state.target?.set(state.weights);
  } else progress = await loadCheckpoint(folder, last, { layout, state });
  onEvent?.({ type: "begin", step: progress.step, resumed: last !== undefined });
  const optimizer = new AdamW({
    beta1: options.adamBeta1,
    beta2: options.adamBeta2,
    epsilon: options.adamEpsilon,
    weightDecay: options.adamWeightDecay,
  });
  const gradient = array();
  const sum = accumulates ? array() : gradient;
  return { state, progress, optimizer, gradient, sum };
}

/** Saves checkpoint, model and curves of the present step, each of them once. */
async function saver(
  task: TrainingTask,
  { folder, options }: RunOptions,
  { state, progress }: Training,
): Promise<() => Promise<void>> {
  // A run that was killed after its checkpoint may lack what follows it: the model is written again.
  let checkpointed = (await checkpointSteps(folder)).includes(progress.step) ? progress.step : -1;
  let saved = -1;
  return async () => {
    checkFiniteWeights(state.weights, progress.step);
    const keep = options.checkpointsTotalLimit;
    if (checkpointed !== progress.step)
      await saveCheckpoint(folder, { layout: task.layout, state, progress, keep });
    checkpointed = progress.step;
    if (saved === progress.step) return;
    await task.save(state.average ?? state.weights);
    await writeCurves(folder);
    saved = progress.step;
  };
}

/** One update and its metrics; undefined when stopped before it, which leaves the run as it was. */
async function step(
  task: TrainingTask,
  options: TrainingOptions,
  training: Training,
  signal: AbortSignal | undefined,
): Promise<{ metrics: StepMetrics; finite: Record<string, number> } | undefined> {
  const started = performance.now();
  const { state, progress, optimizer, sum } = training;
  const computed = await accumulate(task, options, training, signal);
  if (!computed) return undefined;
  const rate = rateOf(options, progress.step);
  const { norm } = optimizer.update(state, sum, {
    step: progress.step + 1,
    learningRate: rate,
    accumulated: options.gradientAccumulationSteps,
    maxNorm: options.maxGradNorm ?? undefined,
    emaDecay: options.ema ? emaDecay(progress.step + 1, options.ema) : undefined,
    targetDecay: task.targetDecay,
  });
  progress.step++;
  progress.batches = computed.batches;
  progress.position = computed.position;
  const seconds = (performance.now() - started) / 1000;
  const finite = { ...computed.terms, "norm of the gradient": norm };
  return { metrics: metricsOf(progress, computed, { rate, norm, seconds }), finite };
}

type Accumulated = { terms: Record<string, number>; images: number; batches: number; position: Position };

/** The gradients of one update; undefined when stopped in between. */
async function accumulate(
  task: TrainingTask,
  { gradientAccumulationSteps: times }: TrainingOptions,
  { state, progress, gradient, sum, optimizer }: Training,
  signal: AbortSignal | undefined,
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
    const into = i === 0 ? sum : gradient;
    const { terms, images, next } = await task.gradient(at, state.weights, into, state.target);
    if (i > 0) optimizer.accumulate(sum, gradient);
    for (const [name, value] of Object.entries(terms))
      result.terms[name] = (result.terms[name] ?? 0) + value / times;
    result.images += images;
    result.batches++;
    result.position = next;
  }
  return result;
}

const rateOf = (options: TrainingOptions, update: number): number =>
  learningRate(update, {
    schedule: options.lrScheduler,
    learningRate: options.learningRate,
    warmupSteps: options.lrWarmupSteps,
    totalSteps: options.maxTrainSteps,
    cycles: options.lrNumCycles,
  });

function metricsOf(
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

/** Diverged weights must not replace the last whole checkpoint. */
function checkFiniteWeights(weights: Float32Array, step: number): void {
  for (const x of weights) if (!Number.isFinite(x)) checkFinite({ weights: x }, step);
}

async function writeCurves(folder: string): Promise<void> {
  const svg = curvesSvg(await readMetrics(folder), { title: path.basename(folder) });
  await writeWhole(path.join(folder, curvesFile), svg);
}
