/** @file The two step distillations: what paths they follow, and what the student is compared with. */

import { spacedTimesteps } from "../../diffusion/spacing.js";
import type { TrainingNoise } from "../noise.js";
import { alphaBarAt, applied, consistencyFunction, ddimStep, type Linear, noiseIn } from "./linear.js";
import type { ConsistencyOptions, TrajectoryOptions } from "./options.js";
import { endOf, type Path, startOf } from "./solver.js";

/** A network's output for noisy samples at timesteps. */
type Predict = (sample: Float32Array, timesteps: readonly number[]) => Promise<Float32Array>;

export interface StepMethod {
  /** What a batch draws from. */
  readonly paths: readonly Path[];
  /** What of the student is compared. */
  student(path: Path): Linear;
  /**
   * What it is compared with. `sample`: the student's noisy one, `reached`: where the teacher's steps led, both
   * [B, C, H, W]; `predict` runs the target network.
   */
  target(
    paths: readonly Path[],
    samples: { sample: Float32Array; reached: Float32Array },
    predict: Predict,
  ): Promise<Float32Array>;
}

/**
 * Consistency distillation (Luo et al., "Latent Consistency Models", arXiv 2310.04378, algorithm 1): the consistency
 * function of the student at a timestep equals the target network's where one guided DDIM step of the teacher leads,
 * k timesteps earlier.
 */
export function consistencyMethod(
  noise: TrainingNoise,
  {
    numDdimTimesteps,
    timestepScaling,
    sigmaData,
  }: Pick<ConsistencyOptions, "numDdimTimesteps" | "timestepScaling"> & { sigmaData?: number },
): StepMethod {
  const scalings = { timestepScaling, ...(sigmaData !== undefined && { sigmaData }) };
  const functionAt = (timestep: number) => consistencyFunction(noise, timestep, scalings);
  const k = Math.floor(noise.alphasCumprod.length / numDdimTimesteps);
  return {
    paths: Array.from({ length: numDdimTimesteps }, (_, i) => consistencyPath(k, i)),
    student: (path) => functionAt(startOf(path)),
    target: async (paths, { reached }, predict) => {
      const ends = paths.map(endOf);
      return applied(ends.map(functionAt), reached, await predict(reached, ends));
    },
  };
}

/** From k (index + 1) - 1 to k timesteps earlier, the first one to timestep 0. */
export const consistencyPath = (k: number, index: number): Path => {
  const start = k * (index + 1) - 1;
  return [start, Math.max(start - k, 0)];
};

/**
 * Progressive distillation of trajectories (Salimans and Ho 2022; SDXL-Lightning, arXiv 2402.13929, without
 * its adversarial loss): one step of the student ends where several guided DDIM steps of the teacher do. Compared is the
 * sample at the end, or the noise that leads there in one step.
 */
export function trajectoryMethod(
  noise: TrainingNoise,
  { steps, teacherSteps, lossType }: Pick<TrajectoryOptions, "steps" | "teacherSteps" | "lossType">,
): StepMethod {
  const ofEpsilon: TrainingNoise = { ...noise, target: "epsilon" };
  const inOneStep = (path: Path) => ddimStep(noise, startOf(path), endOf(path));
  return {
    paths: trajectoryPaths(noise.alphasCumprod.length, steps, teacherSteps),
    student: lossType === "x_end" ? inOneStep : (path) => noiseIn(noise, startOf(path)),
    target: async (paths, { sample, reached }) => {
      if (lossType === "x_end") return reached;
      // The step's rule, solved for the noise.
      const factors = paths.map((path): Linear => {
        const step = ddimStep(ofEpsilon, startOf(path), endOf(path));
        return { sample: -step.sample / step.output, output: 1 / step.output };
      });
      return applied(factors, sample, reached);
    },
  };
}

/** Trailing timesteps, as few-step models are sampled (Lin et al. 2024): the student's, and the teacher's between them. */
export function trajectoryPaths(timesteps: number, steps: number, teacherSteps: number): Path[] {
  const count = steps * teacherSteps;
  const spacing = { timestepSpacing: "trailing", stepsOffset: 0, numTrainTimesteps: timesteps } as const;
  const visited = [...spacedTimesteps(spacing, count, { rounded: true }).slice(0, count), -1];
  return Array.from({ length: steps }, (_, i) => visited.slice(i * teacherSteps, (i + 1) * teacherSteps + 1));
}

/** Whether pure noise is among the levels, where an epsilon-network says nothing of the clean sample. */
export const hasPureNoise = (noise: TrainingNoise): boolean =>
  alphaBarAt(noise, noise.alphasCumprod.length - 1) === 0;
