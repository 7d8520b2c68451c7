/** @file The teacher's part of a step distillation: guided DDIM steps along a path of timesteps, without a gradient. */

import { floats, floatsOf, type Values } from "../../engine/engine.js";
import type { TrainingNoise } from "../noise.js";
import { teacherOut } from "../step.js";
import { applied, ddimStep } from "./linear.js";

/**
 * Timesteps from the student's to the one where its step shall end, with those that the teacher visits in between; -1
 * stands for the clean sample.
 */
export type Path = readonly number[];

export const startOf = (path: Path): number => path[0]!;
export const endOf = (path: Path): number => path.at(-1)!;

/** Runs the teacher on inputs of `unetInputs`' names; its prediction is `teacher_out`. */
export type RunTeacher = (inputs: Readonly<Record<string, Values>>) => Promise<Record<string, Values>>;

type SolverBatch = {
  /** What the teacher is given at the paths' first timesteps. */
  inputs: Readonly<Record<string, Values>>;
  /** Of the inputs, what the pass without a caption has in their place. */
  unconditional: Readonly<Record<string, Values>>;
  /** One for each sample, all of one length. */
  paths: readonly Path[];
  /** The guidance scale less 1 for each sample. Zeros leave out the passes without a caption. */
  w: ArrayLike<number>;
};

/** One step: the outputs with and without captions, the guided one, and the sample that it leads to. */
type SolverStep = {
  conditional: Float32Array;
  unconditional: Float32Array | undefined;
  output: Float32Array;
  sample: Float32Array;
};

export type Solved = {
  /** All results of the teacher's first pass with captions. */
  first: Readonly<Record<string, Values>>;
  steps: readonly SolverStep[];
};

/** Follows the paths. Guidance is c + w (c - u), which for the clean sample, the noise and v is the same. */
export async function solve(noise: TrainingNoise, batch: SolverBatch, run: RunTeacher): Promise<Solved> {
  const { inputs, unconditional, paths, w } = batch;
  const isGuided = Array.from(w).some((scale) => scale !== 0);
  const steps: SolverStep[] = [];
  let sample = inputs.sample!;
  let first: Record<string, Values> | undefined;
  for (let k = 0; k + 1 < paths[0]!.length; k++) {
    const timestep = floats(
      Float32Array.from(paths, (path) => path[k]!),
      paths.length,
    );
    const given = { ...inputs, sample, timestep };
    const results = await run(given);
    first ??= results;
    const conditional = floatsOf(results[teacherOut]);
    const without = isGuided ? floatsOf((await run({ ...given, ...unconditional }))[teacherOut]) : undefined;
    const output = without ? guided(conditional, without, w) : conditional;
    const factors = paths.map((path) => ddimStep(noise, path[k]!, path[k + 1]!));
    const next = applied(factors, floatsOf(sample), output);
    steps.push({ conditional, unconditional: without, output, sample: next });
    sample = { data: next, shape: sample.shape };
  }
  return { first: first!, steps };
}

function guided(conditional: Float32Array, without: Float32Array, w: ArrayLike<number>): Float32Array {
  const size = conditional.length / w.length;
  return Float32Array.from(conditional, (c, i) => c + w[Math.floor(i / size)]! * (c - without[i]!));
}
