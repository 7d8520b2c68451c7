/** @file What a distillation is made of, and its batches: the student's inputs, and what the teacher's solver follows. */

import type { Values } from "../engine/engine.js";
import type { BlockingEngine } from "../engine/ort/blocking-engine.js";
import type { JsonObject } from "../files/json.js";
import { unetConfig } from "../models/unet-config.js";
import type { WeightSet } from "../weights/component.js";
import { emptyCaptions, noisyBatch } from "./batches.js";
import type { LatentCache } from "./cache/cache.js";
import type { Position } from "./data/buckets.js";
import { type FeaturePair, featurePairs } from "./features.js";
import type { TrainingNoise } from "./noise.js";
import type { TrainingOptions } from "./options.js";
import type { Path } from "./step-distillation/solver.js";
import { drawSteps, type StepDistillation } from "./step-distillation/step-distillation.js";

/** The networks and the data of a distillation. */
export type DistillationSetup = {
  engine: BlockingEngine;
  options: TrainingOptions;
  /** The teacher's and the student's parsed `unet/config.json`. */
  teacher: { config: JsonObject; weights: WeightSet; file: string };
  student: JsonObject;
  schedule: TrainingNoise;
  cache: LatentCache;
  /** Where the student learns to take fewer steps. */
  steps?: StepDistillation | undefined;
  /** The timesteps that are drawn, where it is not all of them. */
  timesteps?: readonly number[] | undefined;
};

/** The features that are compared. */
export const pairsOf = ({ teacher, student, options }: DistillationSetup): FeaturePair[] =>
  options.loss.feat === 0
    ? []
    : featurePairs(unetConfig(student), unetConfig(teacher.config), options.feature);

/** A batch of a distillation: the student's inputs, and in a step distillation what the teacher's solver follows. */
export type DistillationBatch = {
  images: number;
  /** The position after it. */
  next: Position;
  inputs: Record<string, Values>;
  steps: { paths: readonly Path[]; w: Float32Array; unconditional: Record<string, Values> } | undefined;
};

/** Draws the batch at `position`, number `batch` of the run. */
export async function drawBatch(
  { cache, schedule, options, steps, timesteps }: DistillationSetup,
  at: { position: Position; batch: number },
): Promise<DistillationBatch> {
  const among = steps ? steps.method.paths.map((path) => path[0]!) : timesteps;
  const { inputs, keys, next, timesteps: drawn } = await noisyBatch(cache, schedule, options, at, among);
  const images = keys.length;
  if (!steps) return { inputs, images, next, steps: undefined };
  const { paths, w } = drawSteps(steps, drawn, { seed: options.seed, batch: at.batch });
  const unconditional = emptyCaptions(cache, steps.unconditional, images);
  return { inputs, images, next, steps: { paths, w, unconditional } };
}
