/** @file Distillation's stored nets and batches: the teacher's pass, and the student's programs as the trainer loads them. */

import path from "node:path";
import { floats, type Values } from "../../src/engine/engine.js";
import type { BlockingEngine } from "../../src/engine/ort/blocking-engine.js";
import type { UNetConfig } from "../../src/models/unet-config.js";
import { componentProgram } from "../../src/pipeline/component.js";
import { type FeaturePair, type FeatureSet, featurePairs, featureSets } from "../../src/train/features.js";
import {
  type GradientProgram,
  layoutOf,
  type TracedLoss,
  wholeProgram,
} from "../../src/train/gradient-program.js";
import { addNoise, type TrainingNoise, trainingNoise, trainingTarget } from "../../src/train/noise.js";
import type { ParameterBuffer } from "../../src/train/parameter-buffer.js";
import { type StepSize, type StudentOptions, studentTrace, teacherTrace } from "../../src/train/step.js";
import { readFloats, resolveWeights } from "../../src/weights/component.js";
import { floatInput } from "../conformance/golden-file.js";
import { type DistillFolder, lazy, lazyByKey, studentIds, tensorsOf } from "./folder.js";
import { storedUnet } from "./student-checks.js";
import { noiseConfig } from "./table-checks.js";

export const unitLossWeights = { task: 1, out: 1, feat: 1 } as const;

export type Batch = {
  readonly size: StepSize;
  readonly latents: Float32Array;
  readonly noise: Float32Array;
  readonly timesteps: readonly number[];
  /** What both networks are given, by the names of `unetInputs`. */
  readonly inputs: Readonly<Record<string, Values>>;
};

/** A loaded step; `inputNames` are the names of its inputs besides the weights. */
export type Step = { readonly program: GradientProgram; readonly inputNames: readonly string[] };

export type Student = {
  readonly id: string;
  readonly config: UNetConfig;
  readonly layout: ParameterBuffer;
  /** A copy of the initial weights. */
  weights(): Float32Array;
  pairs(set: FeatureSet): readonly FeaturePair[];
  /** The trainer's program for a feature set, loaded once. */
  step(set: FeatureSet, size: StepSize): Promise<Step>;
};

export type DistillationNetworks = {
  /** Of the calling thread, on the device that is compared. */
  engine(): Promise<BlockingEngine>;
  schedules(): Promise<{ epsilon: TrainingNoise; v: TrainingNoise }>;
  /** "step", or the number of a batch of training. */
  batch(name: string): Promise<Batch>;
  /** The teacher's output and its features for every set of every student. */
  teacherResults(batch: string): Promise<Readonly<Record<string, Values>>>;
  student(id: string): Promise<Student>;
};

export function distillationNetworks(set: DistillFolder): DistillationNetworks {
  const { openBlocking: engine } = set.context;
  const teacher = lazy(() => storedUnet(set, "teacher", "the steps"));
  const schedules = lazy(async () => {
    const config = await noiseConfig(set);
    return { epsilon: trainingNoise(config), v: trainingNoise(config, { target: "v_prediction" }) };
  });
  const batch = lazyByKey(async (name) => readBatch(set, name, (await schedules()).epsilon));
  const student = lazyByKey(async (id) => loadStudent(set, id, await teacher(), await engine()));
  const session = lazy(async () => {
    const names = new Set([...studentIds(set, "step"), ...studentIds(set, "train")]);
    const sets = featureSets.filter((name) => name !== "none");
    const students = await Promise.all([...names].map((id) => student(id)));
    const pairs = students.flatMap((s) => sets.flatMap((name) => s.pairs(name)));
    const weights = await resolveWeights(path.join(set.folder, "teacher"));
    const trace = teacherTrace(await teacher(), pairs);
    const on = await engine();
    return on.load(componentProgram("teacher", "teacher", weights, trace, on));
  });
  const teacherResults = lazyByKey(async (name) => (await session()).run((await batch(name)).inputs));
  return { engine, schedules, batch, teacherResults, student };
}

async function readBatch(set: DistillFolder, name: string, schedule: TrainingNoise): Promise<Batch> {
  const [source, prefix] =
    name === "step" ? ["step-inputs.safetensors", ""] : ["train-batches.safetensors", `${name}/`];
  const file = await tensorsOf(set, source, { owner: "the steps", isInput: () => true });
  const read = (tensor: string) => floatInput(file, prefix + tensor);
  const values = async (tensor: string): Promise<Values> => read(tensor);
  const [latents, { data: noise }] = [await read("latents"), await read("noise")];
  const timesteps = Array.from(
    (await file.input(`${prefix}timesteps`)).data as BigInt64Array | Float32Array,
    Number,
  );
  const text = await values("prompt_embeds");
  const [size, , height, width] = latents.shape as [number, number, number, number];
  const pooled = file.names.includes(`${prefix}pooled`);
  return {
    size: { batch: size, height, width, tokens: text.shape[1]! },
    latents: latents.data,
    noise,
    timesteps,
    inputs: {
      sample: { data: addNoise(schedule, latents.data, noise, timesteps), shape: latents.shape },
      timestep: floats(Float32Array.from(timesteps), size),
      encoder_hidden_states: text,
      ...(pooled && { text_embeds: await values("pooled"), time_ids: await values("time_ids") }),
    },
  };
}

async function loadStudent(
  set: DistillFolder,
  id: string,
  teacher: UNetConfig,
  engine: BlockingEngine,
): Promise<Student> {
  const folder = `student-init-${id}`;
  const config = await storedUnet(set, folder, "the steps");
  const stored = await resolveWeights(path.join(set.folder, folder));
  const pairs = (name: FeatureSet) => featurePairs(config, teacher, name);
  const any: StepSize = { batch: 1, height: 16, width: 16, tokens: 7 };
  const layout = layoutOf(studentLoss(config, pairs("koala"), any, { weights: unitLossWeights }).loss);
  const initial = new Float32Array(layout.total);
  for (const name of layout.slices.keys()) layout.view(initial, name).set(await readFloats(stored, name));
  const step = lazyByKey(async (key) => {
    const [name, size] = JSON.parse(key) as [FeatureSet, StepSize];
    const { loss, inputNames } = studentLoss(config, pairs(name), size, { weights: unitLossWeights });
    return { program: await wholeProgram(engine, loss, layout), inputNames };
  });
  return {
    id,
    config,
    layout,
    weights: () => initial.slice(),
    pairs,
    step: (name, size) => step(JSON.stringify([name, size])),
  };
}

/** The student's trace as the trainer hands it to its programs. */
export function studentLoss(
  config: UNetConfig,
  pairs: readonly FeaturePair[],
  size: StepSize,
  options: StudentOptions,
): { loss: TracedLoss; inputNames: readonly string[]; trace: ReturnType<typeof studentTrace> } {
  const trace = studentTrace(config, pairs, size, options);
  const loss = { params: trace.params, outputs: { ...trace.outputs, total: trace.losses.total } };
  return { loss, inputNames: [...trace.inputs.keys()], trace };
}

/** A student program's inputs, taken from the batch, the teacher's results and `more`; the target is the schedule's. */
export function programInputs(
  inputNames: readonly string[],
  batch: Batch,
  teacherResults: Readonly<Record<string, Values>>,
  { schedule, more = {} }: { schedule: TrainingNoise; more?: Readonly<Record<string, Values>> },
): Record<string, Values> {
  const { latents, noise, timesteps, inputs } = batch;
  const target = { data: trainingTarget(schedule, latents, noise, timesteps), shape: inputs.sample!.shape };
  const given: Readonly<Record<string, Values>> = { ...inputs, ...teacherResults, target, ...more };
  return Object.fromEntries(inputNames.map((name) => [name, given[name]!]));
}
