/**
 * @file The two networks of a training step as traces: the teacher with its features, the student with its losses. The teacher's results are the student's inputs of the same names, so nothing flows
 * back into it.
 */

import { inputsByName, type UnetSize, unetInputs } from "../models/trace.js";
import { type UnetInputs, unet } from "../models/unet.js";
import type { UNetConfig } from "../models/unet-config.js";
import { input } from "../tensor/operations.js";
import type { Params } from "../tensor/params.js";
import type { Shape, Tensor } from "../tensor/tensor.js";
import type { FeaturePair } from "./features.js";
import { trainedParams } from "./lora/adapter.js";
import type { LoraOptions } from "./lora/options.js";
import {
  distillationLoss,
  type FeatureLoss,
  type Losses,
  type LossWeights,
  lossOutputs,
  type StepComparison,
} from "./loss.js";

export type StepSize = UnetSize;

/** Names of the teacher's results, which are inputs of the student: its prediction, and a feature by its path. */
export const teacherOut = "teacher_out";
export const teacherFeature = (path: string): string => `teacher_feature/${path}`;

/** Names of what each of the teacher's features is divided by, and of a step distillation's three inputs. */
export const teacherMeanSquare = (path: string): string => `teacher_mean_square/${path}`;
export const stepInputs = {
  target: "step_target",
  sampleFactor: "step_sample_factor",
  outputFactor: "step_output_factor",
} as const satisfies Partial<Record<keyof StepComparison, string>>;

/** A forward pass with the results of the layers at `paths`. */
export type UnetWithFeatures = { output: Tensor; at: ReadonlyMap<string, Tensor> };

/** Traces the U-Net and keeps what the layers at `paths` give. `p` is the root of the weights. */
export function unetWithFeatures(
  p: Params,
  c: UNetConfig,
  inputs: UnetInputs,
  paths: Iterable<string>,
): UnetWithFeatures {
  const selected = new Set(paths);
  const at = new Map<string, Tensor>();
  // A path may be reported more than once (a decoder's residual block and, before it, its input): the last
  // one is it.
  const watch = (path: string, x: Tensor) => void (selected.has(path) && at.set(path, x));
  const output = unet(p.watched(watch), c, inputs);
  const absent = [...selected].find((path) => !at.has(path));
  if (absent !== undefined) throw new Error(`internal: the U-Net has no layer ${absent}`);
  return { output, at };
}

/**
 * The teacher's pass, for `partProgram`: its results are `teacher_out` and `teacher_feature/PATH` for every
 * pair. One program serves every size and batch.
 */
export function teacherTrace(
  c: UNetConfig,
  pairs: readonly FeaturePair[],
): (p: Params) => Record<string, Tensor> {
  return (p) => {
    const inputs = unetInputs(c, { batch: 2, height: 16, width: 16, tokens: 77 });
    const paths = new Set(pairs.map((pair) => pair.teacher));
    const { output, at } = unetWithFeatures(p, c, inputs, paths);
    return {
      [teacherOut]: output,
      ...Object.fromEntries([...paths].map((path) => [teacherFeature(path), at.get(path)!])),
    };
  };
}

export type StudentOptions = {
  weights: LossWeights;
  /** Whether each sample's task loss has a weight, the input `task_weights`: [B]. */
  weightedTask?: boolean;
  /** Default "plain". */
  featureLoss?: FeatureLoss;
  /** The error of a step distillation, if it is one. */
  solver?: Pick<StepComparison, "huberC"> | undefined;
  /** More layers whose results are reported in `at`. */
  watch?: readonly string[];
  /** A LoRA that alone is trained. Default: the network's weights are. */
  lora?: LoraOptions | null;
};

export type StudentTrace = {
  /** Every trained weight by path, in the order of use: what the gradient is taken by. */
  params: ReadonlyMap<string, Tensor>;
  /** Every input by name; a run must give these and no others, besides the weights. */
  inputs: ReadonlyMap<string, Tensor>;
  output: Tensor;
  /** The student's features, and what else was watched, by path. */
  at: ReadonlyMap<string, Tensor>;
  losses: Losses;
  /** The losses as results of a program. */
  outputs: Record<string, Tensor>;
};

/**
 * Traces the student's pass and its losses at a fixed size. Inputs: those of `unetInputs`, `target`, `task_weights`, of
 * the teacher's results those that the losses compare with, with `ratio_of_squares` their mean squares, and
 * `stepInputs`.
 */
export function studentTrace(
  c: UNetConfig,
  pairs: readonly FeaturePair[],
  size: StepSize,
  { weights, weightedTask = false, featureLoss = "plain", solver, watch = [], lora = null }: StudentOptions,
): StudentTrace {
  const params = new Map<string, Tensor>();
  const compared = weights.feat === 0 ? [] : pairs;
  const given = unetInputs(c, size, { fixed: true });
  const paths = [...compared.map((pair) => pair.student), ...watch];
  const { output, at } = unetWithFeatures(trainedParams(lora, params), c, given, paths);

  const inputs = inputsByName(given);
  const another = (name: string, shape: Shape) => {
    const made = inputs.get(name) ?? input(name, shape);
    inputs.set(name, made);
    return made;
  };
  const losses = distillationLoss({
    output,
    ...(weights.task !== 0 && { target: another("target", output.shape) }),
    ...(weights.task !== 0 && weightedTask && { taskWeights: another("task_weights", [size.batch]) }),
    ...(weights.out !== 0 && { teacherOutput: another(teacherOut, output.shape) }),
    features: compared.map((pair) => {
      const student = at.get(pair.student)!;
      const teacher = another(teacherFeature(pair.teacher), student.shape);
      if (featureLoss === "plain") return { student, teacher };
      return { student, teacher, meanSquare: another(teacherMeanSquare(pair.teacher), [size.batch]) };
    }),
    ...(solver && { solver: { ...solver, sample: given.sample, ...stepComparison(another, output.shape) } }),
    weights,
  });
  return { params, inputs, output, at, losses, outputs: lossOutputs(losses) };
}

function stepComparison(another: (name: string, shape: Shape) => Tensor, shape: Shape) {
  const factor = [shape[0]!, 1, 1, 1];
  return {
    target: another(stepInputs.target, shape),
    sampleFactor: another(stepInputs.sampleFactor, factor),
    outputFactor: another(stepInputs.outputFactor, factor),
  };
}
