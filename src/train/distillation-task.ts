/**
 * @file Distillation as a training task: a student learns a frozen teacher's predictions and features (KOALA), where its
 * solver leads in fewer steps, or both.
 */

import { Generator } from "../diffusion/random.js";
import type { Values } from "../engine/engine.js";
import { type UNetConfig, unetConfig } from "../models/unet-config.js";
import { readFloats } from "../weights/component.js";
import { stepProgram } from "./data-parallel.js";
import { type DistillationSetup, drawBatch, pairsOf } from "./distillation-batch.js";
import type { FeaturePair } from "./features.js";
import { checkpointedProgram } from "./gradient-checkpointing.js";
import { layoutOf } from "./gradient-program.js";
import { initialisation, unetNetwork, unetWeights } from "./initialisation.js";
import { stagePaths } from "./layer-mapping.js";
import {
  type FrozenWeights,
  frozenWeights,
  initialiseLora,
  sharedWeights,
  tracedWeights,
} from "./lora/weights.js";
import { meanSquares } from "./mean-squares.js";
import type { ParameterBuffer } from "./parameter-buffer.js";
import { randomWeight } from "./random-weights.js";
import { type StepSize, studentTrace } from "./step.js";
import { guidanceInput, stepComparison } from "./step-distillation/comparison.js";
import { targetNetwork } from "./step-distillation/target-network.js";
import { type StepProgram, StepPrograms } from "./step-programs.js";
import { reached, Teacher } from "./teacher.js";
import type { TeacherStore } from "./teacher-store.js";
import type { TrainingTask } from "./trainer.js";

export type DistillationTaskOptions = Pick<TrainingTask, "description" | "save" | "generateSamples"> & {
  /** The teacher's results on disk, in place of the teacher itself. */
  stored?: TeacherStore | undefined;
};

/** A program is made when the first batch of its size is reached. */
export function distillationTask(
  setup: DistillationSetup,
  { stored, ...task }: DistillationTaskOptions,
): TrainingTask {
  const { options, steps } = setup;
  const student = unetConfig(setup.student, "student config");
  const pairs = pairsOf(setup);
  const weights = tracedWeights(unetNetwork(student), options.lora);
  const layout = layoutOf({ params: weights.trained });
  const frozen = frozenWeights(setup.teacher, weights);
  const programs = new StepPrograms((size) =>
    studentProgram(setup, { student, pairs, layout, frozen }, size),
  );
  const teacher = new Teacher(setup, stored);
  const width = student.guidanceEmbedding;

  return {
    ...task,
    layout,
    targetDecay: steps?.targetDecay,
    initialise: async (weights) =>
      options.lora ? initialiseLora(weights, layout, options.seed) : initialise(weights, layout, setup),
    release: async () => {
      await programs.release();
      await teacher.release();
    },
    gradient: async (at, weights, into, target) => {
      const drawn = await drawBatch(setup, at);
      const inputs = {
        ...drawn.inputs,
        ...(drawn.steps && width !== undefined && guidanceInput(drawn.steps.w, width)),
      };
      const results = await teacher.results(at.batch, drawn);
      const program = await programs.of(sizeOf(inputs));
      const given = {
        ...inputs,
        ...results,
        ...(options.featureLoss === "ratio_of_squares" &&
          meanSquares(
            results,
            pairs.map((pair) => pair.teacher),
          )),
      };
      if (steps && drawn.steps) {
        const { paths } = drawn.steps;
        const batch = { method: steps.method, paths, inputs, reached: results[reached]! };
        const predict = (all: Record<string, Values>) => program.target!.run(target ?? weights, all);
        Object.assign(given, await stepComparison(batch, predict));
      }
      const terms = await program.run(weights, given, into);
      return { terms: scalars(terms), images: drawn.images, next: drawn.next };
    },
  };
}

function sizeOf({ sample, encoder_hidden_states: text }: Record<string, Values>): StepSize {
  const [batch, , height, width] = sample!.shape as [number, number, number, number];
  return { batch, height, width, tokens: text!.shape[1]! };
}

/** The student: its features, the layout of its trained weights, and where the others lie. */
type StudentNetwork = {
  student: UNetConfig;
  pairs: readonly FeaturePair[];
  layout: ParameterBuffer;
  frozen: FrozenWeights | undefined;
};

async function studentProgram(
  { engine, options, steps }: DistillationSetup,
  { student, pairs, layout, frozen }: StudentNetwork,
  size: StepSize,
): Promise<StepProgram> {
  const { loss: weights, featureLoss, snrGamma, gradientCheckpointing, dataParallel: parts, lora } = options;
  const watch = gradientCheckpointing ? stagePaths(student) : [];
  const share = { ...size, batch: size.batch / parts };
  const trace = studentTrace(student, pairs, share, {
    ...{ weights, featureLoss, watch, lora },
    weightedTask: snrGamma !== null,
    solver: steps?.solver,
  });
  const loss = { params: trace.params, outputs: { ...trace.outputs, total: trace.losses.total }, frozen };
  const inputs = [...trace.inputs.keys()];
  const program = gradientCheckpointing
    ? await checkpointedProgram(
        engine,
        loss,
        layout,
        watch.map((path) => trace.at.get(path)!),
      )
    : await stepProgram(engine, loss, layout, parts);
  if (!steps?.hasTarget) return { program, inputs };
  const keepsMemory = !gradientCheckpointing;
  const held = gradientCheckpointing ? await sharedWeights(engine.device, frozen) : { files: frozen };
  const target = await targetNetwork(engine, student, { size, layout, lora, keepsMemory, ...held });
  return { program, inputs, target };
}

/**
 * KOALA, section 4.1: the student begins as the teacher's layers of the same paths. An embedding of w that the teacher
 * lacks begins at 0, so that it changes nothing.
 */
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
    if (source === undefined && path === "time_embedding.cond_proj.weight") continue;
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
