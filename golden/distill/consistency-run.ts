/** @file Consistency distillation on golden inputs, by the trainer's pieces: a step in its variants, and the updates. */

import { z } from "zod";
import { boundaryScalings } from "../../src/diffusion/boundary-scalings.js";
import type { Values } from "../../src/engine/engine.js";
import { AdamW, type OptimizerState } from "../../src/train/optimizer.js";
import { guidanceInput, stepComparison } from "../../src/train/step-distillation/comparison.js";
import {
  alphaBarAt,
  applied,
  cleanSample,
  consistencyFunction,
} from "../../src/train/step-distillation/linear.js";
import { consistencyMethod, consistencyPath } from "../../src/train/step-distillation/method.js";
import { endOf, type Solved, solve, startOf } from "../../src/train/step-distillation/solver.js";
import { type Computed, type TensorData, tensorData } from "../conformance/check.js";
import { floatInput, type GoldenFile } from "../conformance/golden-file.js";
import { gradientSchema } from "./step-gradients.js";
import {
  type GoldenBatch,
  goldenBatch,
  runStep,
  type StepNetworks,
  type StepStudent,
} from "./step-networks.js";
import { optimizerSchema } from "./training-run.js";

const number = z.looseObject({ value: z.number(), floor: z.number().optional() });
export const consistencySchema = z.looseObject({
  student: z.string(),
  teacher: z.string(),
  target_factor: z.number(),
  cond_proj: z.string().optional(),
  time_cond_proj_dim: z.int().optional(),
  num_ddim_timesteps: z.int(),
  k: z.int(),
  sigma_data: z.number(),
  timestep_scaling: z.number(),
  huber_c: z.number(),
  ema_rate: z.number(),
  max_grad_norm: z.number(),
  optimizer: optimizerSchema,
  boundary_scalings: z.array(
    z.looseObject({
      sigma_data: z.number(),
      timestep_scaling: z.number(),
      timestep: z.number(),
      c_skip: z.number(),
      c_out: z.number(),
    }),
  ),
  steps: z.record(z.string(), gradientSchema),
  training: z.looseObject({
    log: z.array(z.looseObject({ loss: number, norm_before_clip: number })),
  }),
});
export type ConsistencyJson = z.infer<typeof consistencySchema>;

/** What a variant of the step changes; where the student takes w, its target network has the student's own weights. */
const variants = {
  main: {},
  l2: { loss: "l2" },
  self_target: { target: "student" },
  w_embedding: { embedded: true, target: "student" },
} as const satisfies Record<string, { loss?: "l2"; target?: "student"; embedded?: true }>;
type Variant = { loss?: "l2"; target?: "student"; embedded?: true };

export function variantNamed(name: string): Variant {
  const found = Object.entries(variants).find(([key]) => key === name);
  if (!found) throw new Error(`this tool has no variant "${name}"`);
  return found[1];
}

/** Everything that the rows of one file share. */
export type Consistency = {
  readonly golden: ConsistencyJson;
  readonly networks: StepNetworks;
  readonly inputs: GoldenFile;
  student(variant: string): Promise<StepStudent>;
};

const methodOf = (golden: ConsistencyJson, noise: Parameters<typeof consistencyMethod>[0]) =>
  consistencyMethod(noise, {
    numDdimTimesteps: golden.num_ddim_timesteps,
    timestepScaling: golden.timestep_scaling,
    sigmaData: golden.sigma_data,
  });

type BatchOfSteps = GoldenBatch & { readonly w: Float32Array };

async function batchOf({ golden, networks, inputs }: Consistency, prefix: string): Promise<BatchOfSteps> {
  const { data } = await inputs.input(`${prefix}index`);
  const paths = Array.from(data as ArrayLike<number | bigint>, (i) => consistencyPath(golden.k, Number(i)));
  const { data: w } = await floatInput(inputs, `${prefix}w`);
  return { ...(await goldenBatch(inputs, prefix, await networks.noise(), paths)), w };
}

type Evaluated = {
  loss: number;
  gradient: Float32Array;
  targetOutput: Float32Array;
  given: Record<string, Values>;
  solved: Solved;
};

/** One step as the trainer computes it, with the student's weights and the target network's. */
async function evaluated(
  all: Consistency,
  variant: string,
  batch: BatchOfSteps,
  { weights, target }: { weights: Float32Array; target: Float32Array },
): Promise<Evaluated> {
  const { golden, networks } = all;
  const { loss, embedded } = variantNamed(variant);
  const [noise, student] = [await networks.noise(), await all.student(variant)];
  const solved = await solve(noise, batch, await networks.teacher());
  const width = student.config.guidanceEmbedding;
  const inputs = { ...batch.inputs, ...(embedded && guidanceInput(batch.w, width!)) };
  const network = await student.target(batch.size);
  let targetOutput = new Float32Array();
  const compared = await stepComparison(
    {
      method: methodOf(golden, noise),
      paths: batch.paths,
      inputs,
      reached: { ...batch.inputs.sample!, data: solved.steps.at(-1)!.sample },
    },
    async (given) => (targetOutput = Float32Array.from(await network.run(target, given))),
  );
  const given = { ...inputs, ...compared };
  const step = await student.step(batch.size, {
    weights: { task: 0, out: 0, feat: 0, solver: 1 },
    solver: { huberC: loss === "l2" ? undefined : golden.huber_c },
  });
  const { terms, gradient } = await runStep(student, step, weights, given);
  return { loss: terms.total![0]!, gradient, targetOutput, given, solved };
}

/** A variant's step on golden weights, with every tensor on the way by the names of the file. */
export async function consistencyStep(all: Consistency, variant: string) {
  const [student, batch] = [await all.student(variant), await batchOf(all, "step/")];
  const weights = student.initial;
  const { target: which } = variantNamed(variant);
  const target = which === "student" ? weights : weights.map((x) => x * all.golden.target_factor);
  const step = await evaluated(all, variant, batch, { weights, target });
  const output = await (await student.target(batch.size)).run(weights, step.given);
  const tensors = await tensorsOnTheWay(all, batch, step, output);
  const own = variant === "main" ? tensors : withPrefix(tensors, `${variant}/`);
  const embedding = step.given.timestep_cond;
  if (embedding) own.set(`${variant}/w_embedding`, embedding);
  return { ...step, tensors: own };
}

const withPrefix = (tensors: Computed, prefix: string): Map<string, TensorData> =>
  new Map([...tensors].map(([name, x]) => [prefix + name, x as TensorData]));

const perSample = (values: readonly number[]): TensorData =>
  tensorData(Float32Array.from(values), values.length, 1, 1, 1);

async function tensorsOnTheWay(
  { golden, networks }: Consistency,
  { paths, inputs }: GoldenBatch,
  { given, targetOutput, solved }: Evaluated,
  studentOutput: Float32Array,
): Promise<Map<string, TensorData>> {
  const noise = await networks.noise();
  const { shape, data } = inputs.sample!;
  const noisy = data as Float32Array;
  const scalings = { sigmaData: golden.sigma_data, timestepScaling: golden.timestep_scaling };
  const [starts, ends] = [paths.map(startOf), paths.map(endOf)];
  const like = (numbers: Float32Array): TensorData => ({ data: numbers, shape });
  const scaling = (timesteps: readonly number[], which: "skip" | "out") =>
    perSample(timesteps.map((t) => boundaryScalings(t, scalings)[which]));
  const clean = (timesteps: readonly number[], sample: Float32Array, output: Float32Array) =>
    like(
      applied(
        timesteps.map((t) => cleanSample(noise, t)),
        sample,
        output,
      ),
    );
  const { conditional, unconditional, output: teacherOutput, sample: reached } = solved.steps[0]!;
  const functions = starts.map((t) => consistencyFunction(noise, t, scalings));
  return new Map<string, TensorData>([
    ["start_timesteps", tensorData(starts)],
    ["timesteps", tensorData(ends)],
    ["noisy", inputs.sample!],
    ["c_skip_start", scaling(starts, "skip")],
    ["c_out_start", scaling(starts, "out")],
    ["c_skip", scaling(ends, "skip")],
    ["c_out", scaling(ends, "out")],
    ["student_eps", like(studentOutput)],
    ["student_x0", clean(starts, noisy, studentOutput)],
    ["model_pred", like(applied(functions, noisy, studentOutput))],
    ["teacher_cond", like(conditional)],
    ["teacher_uncond", like(unconditional!)],
    ["teacher_eps", like(teacherOutput)],
    ["teacher_x0", clean(starts, noisy, teacherOutput)],
    ["alpha_prev", perSample(ends.map((t) => alphaBarAt(noise, t)))],
    ["x_prev", like(reached)],
    ["target_eps", like(targetOutput)],
    ["target_x0", clean(ends, reached, targetOutput)],
    ["target", given.step_target!],
  ]);
}

export type TrainedStudent = {
  log: { loss: number; norm: number }[];
  state: OptimizerState;
  target: Float32Array;
};

/** The updates of `train.0`, `train.1` and so on, the target network beginning as a copy of the student. */
export async function trained(all: Consistency): Promise<TrainedStudent> {
  const { golden } = all;
  const { lr: learningRate, beta1, beta2, eps: epsilon, weight_decay: weightDecay } = golden.optimizer;
  const optimizer = new AdamW({ beta1, beta2, epsilon, weightDecay });
  const { initial } = await all.student("main");
  const array = () => new Float32Array(initial.length);
  const target = initial.slice();
  const state = { weights: initial.slice(), mean: array(), square: array(), average: undefined, target };
  const log: TrainedStudent["log"] = [];
  for (const [i] of golden.training.log.entries()) {
    const batch = await batchOf(all, `train.${i}/`);
    const { loss, gradient } = await evaluated(all, "main", batch, { weights: state.weights, target });
    const { norm } = optimizer.update(state, gradient, {
      ...{ step: i + 1, learningRate, accumulated: 1, maxNorm: golden.max_grad_norm },
      emaDecay: undefined,
      targetDecay: golden.ema_rate,
    });
    log.push({ loss, norm });
  }
  return { log, state, target };
}
