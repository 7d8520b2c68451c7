/** @file KOALA's distillation as a training task: a student learns a frozen teacher's predictions and features. */

import { Generator } from "../diffusion/random.js";
import type { Engine, Session, Values } from "../engine/engine.js";
import type { Program } from "../engine/lower.js";
import type { BlockingEngine, BlockingSession } from "../engine/ort/blocking-engine.js";
import { workerEngine } from "../engine/ort/worker-engine.js";
import type { JsonObject } from "../files/json.js";
import { type UNetConfig, unetConfig } from "../models/unet-config.js";
import { componentProgram } from "../pipeline/component.js";
import { readFloats, type WeightSet } from "../weights/component.js";
import { noisyBatch } from "./batches.js";
import type { LatentCache } from "./cache/cache.js";
import { parallelRun, stepProgram } from "./data-parallel.js";
import { type FeaturePair, featurePairs } from "./features.js";
import { checkpointedProgram } from "./gradient-checkpointing.js";
import { initialisation, unetWeights } from "./initialisation.js";
import { stagePaths } from "./layer-mapping.js";
import type { TrainingNoise } from "./noise.js";
import type { TrainingOptions } from "./options.js";
import { ParameterBuffer } from "./parameter-buffer.js";
import { randomWeight } from "./random-weights.js";
import { type StepSize, studentTrace, teacherFeature, teacherOut, teacherTrace } from "./step.js";
import { type StepProgram, StepPrograms } from "./step-programs.js";
import type { TeacherStore } from "./teacher-store.js";
import type { TrainingTask } from "./trainer.js";

/** The networks and the data of a distillation. */
export type DistillationSetup = {
  engine: BlockingEngine;
  options: TrainingOptions;
  /** The teacher's and the student's parsed `unet/config.json`. */
  teacher: { config: JsonObject; weights: WeightSet; file: string };
  student: JsonObject;
  schedule: TrainingNoise;
  cache: LatentCache;
};

export type DistillationTaskOptions = Pick<TrainingTask, "description" | "save" | "generateSamples"> & {
  /** The teacher's results on disk, in place of the teacher itself. */
  stored?: TeacherStore | undefined;
};

/** A program is made when the first batch of its size is reached. */
export function distillationTask(
  setup: DistillationSetup,
  { stored, ...task }: DistillationTaskOptions,
): TrainingTask {
  const { options, schedule, cache } = setup;
  const [teacher, student] = [
    unetConfig(setup.teacher.config, "teacher unet/config.json"),
    unetConfig(setup.student, "student config"),
  ];
  const pairs = options.loss.feat === 0 ? [] : featurePairs(student, teacher, options.feature);
  const compared = [
    ...(options.loss.out > 0 ? [teacherOut] : []),
    ...new Set(pairs.map((pair) => teacherFeature(pair.teacher))),
  ];
  const layout = new ParameterBuffer(unetWeights(student));
  const programs = new StepPrograms((size) => studentProgram(setup, student, pairs, size, layout));
  let teacherNetwork: ReturnType<typeof loadTeacher> | undefined;

  const teacherResults = async (batch: number, inputs: Record<string, Values>) => {
    if (compared.length === 0) return {};
    const given = teacherInputs(inputs);
    if (stored) return stored.read(batch, given, compared);
    teacherNetwork ??= loadTeacher(setup);
    return (await teacherNetwork).run(given);
  };
  return {
    ...task,
    layout,
    initialise: (weights) => initialise(weights, layout, setup),
    release: async () => {
      await programs.release();
      await (await teacherNetwork)?.release();
    },
    gradient: async (at, weights, into) => {
      const { inputs, keys, next } = await noisyBatch(cache, schedule, options, at);
      const [batch, , height, width] = inputs.sample!.shape as [number, number, number, number];
      const program = await programs.of({
        batch,
        height,
        width,
        tokens: inputs.encoder_hidden_states!.shape[1]!,
      });
      const given = { ...inputs, ...(await teacherResults(at.batch, inputs)) };
      const terms = await program.run(weights, given, into);
      return { terms: scalars(terms), images: keys.length, next };
    },
  };
}

/** Runs the teacher alone over the first `batches` batches and writes its results to disk. */
export async function storeTeacher(
  setup: DistillationSetup,
  store: TeacherStore,
  batches: number,
  onBatch: (done: number) => void,
  signal: AbortSignal | undefined,
): Promise<void> {
  const { schedule, cache, options } = setup;
  const session = await teacherProgram(setup);
  let position = { epoch: 0, batch: 0 };
  for (let batch = 0; batch < batches && !signal?.aborted; batch++) {
    const { inputs, next } = await noisyBatch(cache, schedule, options, { position, batch });
    const given = teacherInputs(inputs);
    if (!(await store.has(batch, given))) await store.write(batch, given, await session.run(given));
    position = next;
    onBatch(batch + 1);
  }
  await session.release();
}

const teacherProgram = (setup: DistillationSetup): Promise<BlockingSession> =>
  setup.engine.load(loweredTeacher(setup, setup.engine), {
    keepsMemory: !setup.options.gradientCheckpointing,
  });

function loweredTeacher({ teacher, student, options }: DistillationSetup, engine: Engine): Program {
  const config = unetConfig(teacher.config);
  const pairs = options.loss.feat === 0 ? [] : featurePairs(unetConfig(student), config, options.feature);
  return componentProgram("teacher", teacher.file, teacher.weights, teacherTrace(config, pairs), engine);
}

/** The teacher on as many threads as the student. */
async function loadTeacher(setup: DistillationSetup): Promise<Session> {
  const { dataParallel: parts } = setup.options;
  if (parts === 1) return teacherProgram(setup);
  const engines = Array.from({ length: parts }, () => workerEngine({ threads: 1, spinning: false }));
  const sessions = engines.map((engine) => engine.load(loweredTeacher(setup, engine)));
  return {
    run: parallelRun(await Promise.all(sessions)),
    release: async () => void (await Promise.all(engines.map((engine) => engine.close()))),
  };
}

const teacherInputs = ({ target, task_weights, ...inputs }: Record<string, Values>): Record<string, Values> =>
  inputs;

async function studentProgram(
  { engine, options }: DistillationSetup,
  student: UNetConfig,
  pairs: readonly FeaturePair[],
  size: StepSize,
  layout: ParameterBuffer,
): Promise<StepProgram> {
  const { loss: weights, snrGamma, gradientCheckpointing, dataParallel: parts } = options;
  const watch = gradientCheckpointing ? stagePaths(student) : [];
  const share = { ...size, batch: size.batch / parts };
  const trace = studentTrace(student, pairs, share, { weights, weightedTask: snrGamma !== null, watch });
  const loss = { params: trace.params, outputs: { ...trace.outputs, total: trace.losses.total } };
  const inputs = [...trace.inputs.keys()];
  const program = gradientCheckpointing
    ? await checkpointedProgram(
        engine,
        loss,
        layout,
        watch.map((path) => trace.at.get(path)!),
      )
    : await stepProgram(engine, loss, layout, parts);
  return { program, inputs };
}

/** KOALA, section 4.1: the student begins as the teacher's layers of the same paths. */
async function initialise(
  weights: Float32Array,
  layout: ParameterBuffer,
  { teacher, student, options }: DistillationSetup,
): Promise<void> {
  const config = unetConfig(student);
  const map = initialisation(config, unetConfig(teacher.config), { layers: options.initialLayers });
  const shapes = unetWeights(config);
  const generator = new Generator(options.seed);
  for (const path of layout.slices.keys()) {
    const source = map.get(path);
    const values =
      source === undefined
        ? randomWeight(path, shapes, generator)
        : await readFloats(teacher.weights, source);
    layout.view(weights, path).set(values);
  }
}

function scalars(terms: Readonly<Record<string, Float32Array>>): Record<string, number> {
  const single = Object.entries(terms).filter(([, value]) => value.length === 1);
  return Object.fromEntries(single.map(([name, value]) => [name, value[0]!]));
}
