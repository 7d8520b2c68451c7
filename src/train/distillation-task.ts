/** @file KOALA's distillation as a job: a frozen teacher's predictions and features teach a smaller student. */

import { Generator } from "../diffusion/random.js";
import type { Engine, Values } from "../engine/engine.js";
import type { Program } from "../engine/lower.js";
import type { BlockingEngine, BlockingSession } from "../engine/ort/blocking-engine.js";
import { workerEngine } from "../engine/ort/worker-engine.js";
import { InvalidRequest, listed } from "../errors.js";
import type { JsonObject } from "../files/json.js";
import { unetConfig } from "../models/unet-config.js";
import { componentProgram } from "../pipeline/component.js";
import type { WeightSet } from "../weights/component.js";
import { readFloats } from "../weights/component.js";
import { noisyBatch } from "./batches.js";
import type { LatentCache } from "./cache/cache.js";
import { parallelRun, stepProgram } from "./data-parallel.js";
import { featurePairs } from "./features.js";
import { checkpointedProgram } from "./gradient-checkpointing.js";
import type { GradientProgram } from "./gradient-program.js";
import { initialisation, unetWeights } from "./initialisation.js";
import { stagePaths } from "./layer-mapping.js";
import type { TrainingNoise } from "./noise.js";
import type { TrainingOptions } from "./options.js";
import { ParameterBuffer } from "./parameter-buffer.js";
import { randomWeight } from "./random-weights.js";
import { type StepSize, studentTrace, teacherFeature, teacherOut, teacherTrace } from "./step.js";
import type { TeacherStore } from "./teacher-store.js";
import type { TrainingTask } from "./trainer.js";

export type DistillationOptions = {
  engine: BlockingEngine;
  options: TrainingOptions;
  /** The teacher's and the student's parsed `unet/config.json`. */
  teacher: { config: JsonObject; weights: WeightSet; file: string };
  student: JsonObject;
  schedule: TrainingNoise;
  cache: LatentCache;
  /** The teacher's results on disk, in place of the teacher itself. */
  stored?: TeacherStore;
  description: JsonObject;
  save: TrainingTask["save"];
  generateSamples?: TrainingTask["generateSamples"];
};

/** The job; programs are made when a batch of their size comes up. */
export function distillationTask(setup: DistillationOptions): TrainingTask {
  const { engine, options, schedule, cache, stored } = setup;
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
  const programs = new Map<string, Promise<{ program: GradientProgram; inputs: ReadonlySet<string> }>>();
  let teaching: ReturnType<typeof teacherRun> | undefined;

  const programOf = (size: StepSize) => {
    const key = Object.values(size).join("x");
    const made = programs.get(key) ?? studentProgram(engine, student, pairs, size, options, layout);
    programs.set(key, made);
    return made;
  };
  const teach = async (batch: number, inputs: Record<string, Values>): Promise<Record<string, Values>> => {
    if (compared.length === 0) return {};
    const given = teacherInputs(inputs);
    if (stored) return stored.read(batch, given, compared);
    teaching ??= teacherRun(setup);
    return (await teaching)(given);
  };
  return {
    description: setup.description,
    layout,
    initialise: (weights) => initialise(weights, layout, setup),
    save: setup.save,
    ...(setup.generateSamples && { generateSamples: setup.generateSamples }),
    gradient: async (at, weights, into) => {
      const { inputs, keys, next } = await noisyBatch(cache, schedule, options, at);
      const [batch, , height, width] = inputs.noisy!.shape as [number, number, number, number];
      const { program, inputs: wanted } = await programOf({
        batch,
        height,
        width,
        tokens: inputs.text!.shape[1]!,
      });
      const all = { ...inputs, ...(await teach(at.batch, inputs)) };
      const given = Object.fromEntries(Object.entries(all).filter(([name]) => wanted.has(name)));
      const terms = await program.run(weights, given, into);
      return { terms: scalars(terms), images: keys.length, next };
    },
  };
}

/** Runs the teacher alone over the first `batches` batches and leaves its results on disk. */
export async function storeTeacher(
  setup: DistillationOptions,
  store: TeacherStore,
  batches: number,
  onBatch: (done: number) => void,
  signal?: AbortSignal,
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

const teacherProgram = (setup: DistillationOptions): Promise<BlockingSession> =>
  setup.engine.load(loweredTeacher(setup, setup.engine), {
    keepsMemory: !setup.options.gradientCheckpointing,
  });

function loweredTeacher({ teacher, student, options }: DistillationOptions, engine: Engine): Program {
  const config = unetConfig(teacher.config);
  const pairs = options.loss.feat === 0 ? [] : featurePairs(unetConfig(student), config, options.feature);
  return componentProgram("teacher", teacher.file, teacher.weights, teacherTrace(config, pairs), engine);
}

/** The teacher on as many threads as the student. */
async function teacherRun(setup: DistillationOptions) {
  const { dataParallel: parts } = setup.options;
  if (parts === 1) {
    const session = await teacherProgram(setup);
    return (inputs: Record<string, Values>) => session.run(inputs);
  }
  const engines = Array.from({ length: parts }, () => workerEngine({ threads: 1, spinning: false }));
  return parallelRun(await Promise.all(engines.map((engine) => engine.load(loweredTeacher(setup, engine)))));
}

const teacherInputs = ({
  noisy,
  timestep,
  text,
  pooled,
  time_ids,
}: Record<string, Values>): Record<string, Values> => ({
  noisy: noisy!,
  timestep: timestep!,
  text: text!,
  ...(pooled && { pooled, time_ids: time_ids! }),
});

async function studentProgram(
  engine: BlockingEngine,
  student: ReturnType<typeof unetConfig>,
  pairs: ReturnType<typeof featurePairs>,
  size: StepSize,
  { loss: weights, snrGamma, gradientCheckpointing, dataParallel: parts }: TrainingOptions,
  layout: ParameterBuffer,
): Promise<{ program: GradientProgram; inputs: ReadonlySet<string> }> {
  const watch = gradientCheckpointing ? stagePaths(student) : [];
  const share = { ...size, batch: size.batch / parts };
  const trace = studentTrace(student, pairs, share, { weights, weightedTask: snrGamma !== null, watch });
  const loss = { params: trace.params, outputs: { ...trace.outputs, total: trace.losses.total } };
  const inputs = new Set(trace.inputs.keys());
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

/** Section 4.1: the student begins as the teacher's layers at the same places. */
async function initialise(
  weights: Float32Array,
  layout: ParameterBuffer,
  setup: DistillationOptions,
): Promise<void> {
  const { teacher, student, options } = setup;
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

/** Refuses data that can never fill a batch, before anything is computed. */
export function checkBatches(cache: LatentCache, batchSize: number): void {
  const sizes = [...cache.keysByBucket].map(([bucket, keys]) => `${bucket}: ${keys.length}`);
  if ([...cache.keysByBucket.values()].some((keys) => keys.length >= batchSize)) return;
  const rule = `must be at most the images of a bucket (${listed(sizes)}), got ${batchSize}.`;
  throw new InvalidRequest(
    "trainBatchSize",
    batchSize,
    `${rule} Take a smaller batch, or accumulate gradients.`,
  );
}
