/** @file A step distillation as a run's settings describe it: its method, and what a batch draws besides its noise. */

import { InvalidRequest } from "../../errors.js";
import type { DropoutRule } from "../data/captions.js";
import { seeded } from "../data/seeded.js";
import type { StepComparison } from "../loss.js";
import type { TrainingNoise } from "../noise.js";
import type { TrainingOptions } from "../options.js";
import { consistencyMethod, hasPureNoise, type StepMethod, trajectoryMethod } from "./method.js";
import type { Path } from "./solver.js";

export type StepDistillation = {
  method: StepMethod;
  /** The least and largest w that are drawn, the guidance scale less 1. */
  w: readonly [least: number, largest: number];
  /** What the teacher's guidance takes for no caption. */
  unconditional: DropoutRule;
  /** Of the traced loss. */
  solver: Pick<StepComparison, "huberC">;
  /** Undefined where the target is the student itself, or where there is none. */
  targetDecay: number | undefined;
  /** Whether the method evaluates a target network. */
  hasTarget: boolean;
};

/** How the teacher is guided by default. */
export type TeacherGuidance = { guidanceScale: number; unconditional: DropoutRule };

/** Undefined without one among the settings; InvalidRequest for one that the noise schedule rules out. */
export function stepDistillation(
  { consistency, trajectory }: Pick<TrainingOptions, "consistency" | "trajectory">,
  noise: TrainingNoise,
  { guidanceScale, unconditional }: TeacherGuidance,
): StepDistillation | undefined {
  if (consistency) {
    checkNoise("consistency", noise);
    checkTimesteps("consistency.numDdimTimesteps", consistency.numDdimTimesteps, noise);
    const { wMin, wMax, lossType, huberC, emaDecay } = consistency;
    return {
      method: consistencyMethod(noise, consistency),
      w: [wMin, wMax],
      unconditional,
      solver: { huberC: lossType === "huber" ? huberC : undefined },
      targetDecay: emaDecay > 0 ? emaDecay : undefined,
      hasTarget: true,
    };
  }
  if (!trajectory) return undefined;
  checkNoise("trajectory", noise);
  checkTimesteps("trajectory.steps", trajectory.steps * trajectory.teacherSteps, noise);
  if (trajectory.lossType === "eps" && hasPureNoise(noise)) {
    const rule =
      'must be "x_end" where the schedule ends in pure noise, got "eps": no noise leads on from there.';
    throw new InvalidRequest("trajectory.lossType", "eps", rule);
  }
  const w = Math.max(0, (trajectory.guidanceScale ?? guidanceScale) - 1);
  return {
    method: trajectoryMethod(noise, trajectory),
    w: [w, w],
    unconditional,
    solver: { huberC: undefined },
    targetDecay: undefined,
    hasTarget: false,
  };
}

function checkNoise(field: "consistency" | "trajectory", noise: TrainingNoise): void {
  if (noise.target !== "epsilon" || !hasPureNoise(noise)) return;
  const rule =
    "must have a model that predicts v where the schedule ends in pure noise, got one that predicts";
  throw new InvalidRequest(field, noise.target, `${rule} the noise. Use a teacher of v-prediction.`);
}

function checkTimesteps(field: string, count: number, { alphasCumprod }: TrainingNoise): void {
  if (count <= alphasCumprod.length) return;
  const rule = `must take at most the ${alphasCumprod.length} timesteps that the teacher was trained on, got ${count}.`;
  throw new InvalidRequest(field, count, rule);
}

/** A batch's share of a step distillation: its paths by the timesteps that were drawn, and w for each sample. */
export function drawSteps(
  { method, w: [least, largest] }: StepDistillation,
  timesteps: ArrayLike<number>,
  { seed, batch }: { seed: number; batch: number },
): { paths: Path[]; w: Float32Array } {
  const byStart = new Map(method.paths.map((path) => [path[0]!, path]));
  const paths = Array.from(timesteps, (t) => byStart.get(t)!);
  const drawn = (_: Path, i: number) => least + (largest - least) * seeded(seed, "guidance", batch, i)();
  return { paths, w: Float32Array.from(paths, (path, i) => drawn(path, i)) };
}
