/** @file What a training run reports while it goes. */

import type { StepMetrics } from "../monitor/metrics.js";
import type { SkippedExample } from "./data/example.js";

/** An event of a run, in the order in which they come. */
export type TrainingEvent =
  /** The networks will be computed on this device; not reported where that is the CPU, as asked for. */
  | { type: "device"; device: string; reason: string }
  /** What was changed, or is not as it was before. */
  | { type: "warning"; message: string }
  /** Captions, then images are encoded into the cache; an image that it holds already is done once it is compared. */
  | { type: "encoding"; stage: "captions" | "images"; done: number; total: number }
  /** All data was read; these examples were left out. */
  | { type: "skipped"; examples: readonly SkippedExample[] }
  /** `precomputeTeacher` has stored the results of `done` batches. */
  | { type: "teacher"; done: number; total: number }
  /** Training begins after update `step`; `resumed` where that is a checkpoint's. */
  | { type: "begin"; step: number; resumed: boolean }
  /** An update is done, of `steps` in all. */
  | { type: "step"; metrics: StepMetrics; steps: number };

/** How a run ended: after update `step`, of which a checkpoint and a model are saved. */
export type TrainingResult = {
  step: number;
  /** Whether the signal ended it before its last update. */
  stopped: boolean;
};
