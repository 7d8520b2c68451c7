/** @file The networks and batches of the step distillations' golden data: teacher, student and target network, wherever they lie. */

import path from "node:path";
import type { Values } from "../../src/engine/engine.js";
import type { BlockingEngine } from "../../src/engine/ort/blocking-engine.js";
import { readJson } from "../../src/files/file-system.js";
import type { UNetConfig } from "../../src/models/unet-config.js";
import { unetConfig } from "../../src/models/unet-config.js";
import { componentProgram } from "../../src/pipeline/component.js";
import { type FeaturePair, featurePairs } from "../../src/train/features.js";
import { wholeProgram } from "../../src/train/gradient-program.js";
import { unetWeights } from "../../src/train/initialisation.js";
import { addNoise, type TrainingNoise, trainingNoise } from "../../src/train/noise.js";
import { ParameterBuffer } from "../../src/train/parameter-buffer.js";
import { type StepSize, type StudentOptions, teacherTrace } from "../../src/train/step.js";
import { type Path, type RunTeacher, startOf } from "../../src/train/step-distillation/solver.js";
import { type TargetNetwork, targetNetwork } from "../../src/train/step-distillation/target-network.js";
import { readFloats, resolveWeights, type WeightSet } from "../../src/weights/component.js";
import { floatInput, type GoldenFile } from "../conformance/golden-file.js";
import { type DistillFolder, lazy, lazyByKey } from "./folder.js";
import { type Step, studentLoss } from "./networks.js";
import { noiseConfig } from "./table-checks.js";

/** Where `teacher` and `student` of the JSON files lie, relative to the golden folder. */
type NetworkFolders = { readonly teacher: string; readonly student: string };

/** A student with its weights, and in `more` those of other files. */
export type StepStudent = {
  readonly config: UNetConfig;
  readonly layout: ParameterBuffer;
  readonly initial: Float32Array;
  readonly pairs: readonly FeaturePair[];
  /** The trainer's program for these losses and this size, loaded once. */
  step(size: StepSize, options: StudentOptions): Promise<Step>;
  target(size: StepSize): Promise<TargetNetwork>;
};

export type StepNetworks = {
  engine(): Promise<BlockingEngine>;
  noise(): Promise<TrainingNoise>;
  teacher(): Promise<RunTeacher>;
  /** With `timeCondProjDim`, one that takes w, whose further weight is in `more`. */
  student(variant?: { timeCondProjDim: number; more: string }): Promise<StepStudent>;
};

export function stepNetworks(set: DistillFolder, folders: NetworkFolders): StepNetworks {
  const { openBlocking: engine, layers } = set.context;
  const opened = lazyByKey(async (relative) => {
    const folder = await layers.locate(relative);
    return { json: await readJson(path.join(folder, "config.json")), weights: await resolveWeights(folder) };
  });
  const pairsOf = async (student: UNetConfig) =>
    featurePairs(student, unetConfig((await opened(folders.teacher)).json), "koala");
  const teacher = lazy(async (): Promise<RunTeacher> => {
    const { json, weights } = await opened(folders.teacher);
    const pairs = await pairsOf(unetConfig((await opened(folders.student)).json));
    const on = await engine();
    const trace = teacherTrace(unetConfig(json), pairs);
    const session = await on.load(componentProgram("teacher", "teacher", weights, trace, on));
    return (inputs) => session.run(inputs);
  });
  const student = lazyByKey(async (key) => {
    const variant = JSON.parse(key) as { timeCondProjDim?: number; more?: string };
    const { json, weights } = await opened(folders.student);
    const config = unetConfig({ ...json, time_cond_proj_dim: variant.timeCondProjDim ?? null });
    const more =
      variant.more === undefined ? [] : [await resolveWeights(path.join(set.folder, variant.more))];
    return loadStudent(await engine(), config, await pairsOf(config), [weights, ...more]);
  });
  return {
    engine,
    noise: lazy(async () => trainingNoise(await noiseConfig(set))),
    teacher,
    student: (variant = undefined) => student(JSON.stringify(variant ?? {})),
  };
}

async function loadStudent(
  engine: BlockingEngine,
  config: UNetConfig,
  pairs: readonly FeaturePair[],
  files: readonly WeightSet[],
): Promise<StepStudent> {
  const layout = new ParameterBuffer(unetWeights(config));
  const initial = new Float32Array(layout.total);
  for (const name of layout.slices.keys()) {
    const file = files.find(({ tensors }) => tensors.has(name)) ?? files[0]!;
    layout.view(initial, name).set(await readFloats(file, name));
  }
  const step = lazyByKey(async (key) => {
    const [size, options] = JSON.parse(key) as [StepSize, StudentOptions];
    const { loss, inputNames } = studentLoss(config, pairs, size, options);
    return { program: await wholeProgram(engine, loss, layout), inputNames };
  });
  const target = lazyByKey((key) =>
    targetNetwork(engine, config, { size: JSON.parse(key) as StepSize, layout }),
  );
  return {
    ...{ config, layout, initial, pairs },
    step: (size, options) => step(JSON.stringify([size, options])),
    target: (size) => target(JSON.stringify(size)),
  };
}

/** A batch of latents under noise at the paths' first timesteps. */
export type GoldenBatch = {
  readonly size: StepSize;
  readonly paths: readonly Path[];
  readonly inputs: Readonly<Record<string, Values>>;
  readonly unconditional: Readonly<Record<string, Values>>;
};

export async function goldenBatch(
  file: GoldenFile,
  prefix: string,
  noise: TrainingNoise,
  paths: readonly Path[],
): Promise<GoldenBatch> {
  const read = (name: string) => floatInput(file, prefix + name);
  const [latents, drawn] = [await read("latents"), await read("noise")];
  const [batch, , height, width] = latents.shape as [number, number, number, number];
  const text = await read("prompt_embeds");
  const starts = paths.map(startOf);
  const conditions: Record<string, Values> = {
    encoder_hidden_states: text,
    ...(file.names.includes(`${prefix}pooled`) && {
      text_embeds: await read("pooled"),
      time_ids: await read("time_ids"),
    }),
  };
  const zeros = ({ shape, data }: Values) => ({ shape, data: new Float32Array(data.length) });
  const { time_ids: _, ...texts } = conditions;
  return {
    size: { batch, height, width, tokens: text.shape[1]! },
    paths,
    inputs: {
      sample: { data: addNoise(noise, latents.data, drawn.data, starts), shape: latents.shape },
      timestep: { data: Float32Array.from(starts), shape: [batch] },
      ...conditions,
    },
    unconditional: Object.fromEntries(Object.entries(texts).map(([name, values]) => [name, zeros(values)])),
  };
}

/** Runs a step of the trainer: its results, and all gradients in the student's layout. */
export async function runStep(
  student: StepStudent,
  { program, inputNames }: Step,
  weights: Float32Array,
  given: Readonly<Record<string, Values>>,
): Promise<{ terms: Record<string, Float32Array>; gradient: Float32Array }> {
  const gradient = new Float32Array(student.layout.total);
  const inputs = Object.fromEntries(inputNames.map((name) => [name, given[name]!]));
  return { terms: await program.run(weights, inputs, gradient), gradient };
}
