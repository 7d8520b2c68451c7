/** @file What a step distillation adds to the inputs of the student's program. */

import { guidanceEmbedding } from "../../diffusion/guidance-embedding.js";
import { floats, floatsOf, type Values } from "../../engine/engine.js";
import { stepInputs } from "../step.js";
import type { Linear } from "./linear.js";
import type { StepMethod } from "./method.js";
import type { Path } from "./solver.js";
import type { TargetNetwork } from "./target-network.js";

type StepBatch = {
  method: StepMethod;
  paths: readonly Path[];
  /** What the student is given, by the names of `unetInputs`. */
  inputs: Readonly<Record<string, Values>>;
  /** The sample at the end of the teacher's steps: [B, C, H, W] */
  reached: Values;
};

/** `stepInputs` of a batch. `target` runs the target network, which only consistency distillation has. */
export async function stepComparison(
  { method, paths, inputs, reached }: StepBatch,
  target: (inputs: Record<string, Values>) => ReturnType<TargetNetwork["run"]>,
): Promise<Record<string, Values>> {
  const { shape } = inputs.sample!;
  const predict = (sample: Float32Array, timesteps: readonly number[]) =>
    target({
      ...inputs,
      sample: { data: sample, shape },
      timestep: floats(Float32Array.from(timesteps), timesteps.length),
    });
  const samples = { sample: floatsOf(inputs.sample), reached: floatsOf(reached) };
  const compared = await method.target(paths, samples, predict);
  const factors = paths.map((path) => method.student(path));
  const column = (of: keyof Linear) =>
    floats(
      Float32Array.from(factors, (factor) => factor[of]),
      paths.length,
      1,
      1,
      1,
    );
  return {
    [stepInputs.target]: { data: compared, shape },
    [stepInputs.sampleFactor]: column("sample"),
    [stepInputs.outputFactor]: column("output"),
  };
}

/** The input `timestep_cond` of a network that takes w: [B, width] */
export function guidanceInput(w: ArrayLike<number>, width: number): Record<string, Values> {
  const data = new Float32Array(w.length * width);
  for (let i = 0; i < w.length; i++) data.set(guidanceEmbedding(w[i]!, width), i * width);
  return { timestep_cond: floats(data, w.length, width) };
}
