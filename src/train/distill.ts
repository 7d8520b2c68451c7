/**
 * @file Distillation of a student U-Net from a teacher, to fewer weights (KOALA, arXiv 2312.04005), to fewer steps or to
 * both, from folders to a model folder.
 */

import path from "node:path";
import { schedulerFromConfig } from "../diffusion/schedulers/registry.js";
import { InvalidRequest } from "../errors.js";
import { readJson } from "../files/file-system.js";
import type { JsonObject } from "../files/json.js";
import { type Components, loadComponents } from "../pipeline/components.js";
import { requestDefaults } from "../pipeline/model-defaults.js";
import { hashOf } from "../weights/fingerprint.js";
import type { DistillationSetup } from "./distillation-batch.js";
import { distillationTask } from "./distillation-task.js";
import type { TrainingResult } from "./events.js";
import { checkExport, type ExportOptions, exportModel } from "./export.js";
import { checkLoraOutput, exportLora } from "./lora/export.js";
import { noiseFields, schedulerFields, type TrainingNoise } from "./noise.js";
import type { TrainingOptions, TrainingRequest } from "./options.js";
import { withEngine } from "./run-engine.js";
import {
  type AutoencoderSetting,
  autoencoderSettings,
  type CachedRunOptions,
  checkFolders,
  noiseOverrides,
  openRunCache,
  resolveRun,
  runNoise,
  type TrainingRun,
} from "./run-options.js";
import { generateSamples } from "./samples.js";
import { type Sampling, samplingOf } from "./step-distillation/sampling.js";
import { stepDistillation, type TeacherGuidance } from "./step-distillation/step-distillation.js";
import {
  checkLoraStudent,
  defaultStudent,
  readStudent,
  type Student,
  studentConfig,
  withGuidanceInput,
} from "./student.js";
import { storeTeacher } from "./teacher.js";
import { TeacherStore } from "./teacher-store.js";
import { train } from "./trainer.js";

export type DistillNetworks = {
  /** Model folder of the teacher, in Diffusers' layout. Its other components become the student's. */
  teacher: string;
  /** The student's U-Net (KOALA, section 3.1.1). Default "koala-700m", in a step distillation "teacher". */
  student?: Student;
};

export type DistillOptions = DistillNetworks &
  CachedRunOptions &
  Omit<TrainingRequest, AutoencoderSetting> & {
    /** Folder with the results that `precomputeTeacher` stored, so that the teacher need not be in memory. */
    teacherCache?: string;
    /** Hard-links the teacher's other components in place of copying them. Default false. */
    link?: boolean;
  };

export type PrecomputeTeacherOptions = Omit<DistillOptions, "link" | "resume"> & {
  /** Folder for the teacher's results: a file for each batch. */
  teacherCache: string;
};

/**
 * Cuts a student U-Net out of a teacher and trains it by KOALA's losses (sections 3.1 and 4.1): the task, the teacher's
 * prediction and its features. With `consistency` or `trajectory` it learns to generate in few steps, and the model says by
 * its scheduler and defaults how it is sampled. `output` becomes a complete model folder; it is saved at every checkpoint, at the end and
 * when the signal fires. InvalidRequest by the option's name, ModelError and FileError by the file's; Cancelled when the
 * signal fires before training begins.
 */
export async function distill(options: DistillOptions): Promise<TrainingResult> {
  const { teacherCache, link = false, ...rest } = options;
  const { run, networks } = await prepare(rest);
  if (link && run.options.lora)
    throw new InvalidRequest(
      "link",
      link,
      "has no effect with lora, whose file is all of the result. Leave it out.",
    );
  const { output, resume, signal, onEvent } = run;
  await checkFolders(output, run.cacheFolder, teacherCache);
  const { engine, options: settings, components } = await openTeacher(run, networks);
  const sampling = fewSteps(components, settings);
  const model = {
    teacher: networks.teacher,
    unetConfig: networks.student,
    ...generation(components, settings, sampling),
    output,
    link,
  };
  const { lora } = settings;
  await (lora ? checkLoraOutput(output) : checkExport(model));
  const setup = await openSetup({ ...run, engine, options: settings }, networks, components);
  const description = {
    command: "distill",
    teacher: path.basename(networks.teacher),
    student: networks.studentName,
    data: path.basename(run.data),
  };
  const isXl = components.family === "sdxl";
  const task = distillationTask(setup, {
    description,
    stored: teacherCache === undefined ? undefined : new TeacherStore(teacherCache),
    save: (weights) =>
      lora
        ? exportLora({
            weights: inUnet(task.layout.tensors(weights)),
            lora,
            isXl,
            description,
            sampling,
            output,
          })
        : exportModel({ ...model, weights: task.layout.tensors(weights) }),
    generateSamples: (step) =>
      generateSamples(output, step, settings.validationPrompts, {
        engine,
        ...(lora && { base: networks.teacher }),
      }),
  });
  return train(task, { folder: output, options: settings, resume, signal, onEvent });
}

/** Tensors of a U-Net among those of a whole model. */
const inUnet = <T>(tensors: ReadonlyMap<string, T>): Map<string, T> =>
  new Map([...tensors].map(([path, tensor]) => [`unet.${path}`, tensor]));

/**
 * Computes the teacher's predictions and features for every batch of a run and stores them, so that `distill` with the
 * same options needs no teacher in memory. Batches that are stored already are kept. `batches` of them are there at the
 * end, fewer than the run's where the signal has fired.
 */
export async function precomputeTeacher(
  options: PrecomputeTeacherOptions,
): Promise<{ batches: number; stopped: boolean }> {
  const { teacherCache, ...rest } = options;
  const { run, networks } = await prepare(rest);
  await checkFolders(run.output, run.cacheFolder, teacherCache);
  const opened = await openTeacher(run, networks);
  const setup = await openSetup({ ...run, ...opened }, networks, opened.components);
  const total = run.options.maxTrainSteps * run.options.gradientAccumulationSteps;
  let batches = 0;
  const onBatch = (done: number) => {
    batches = done;
    run.onEvent({ type: "teacher", done, total });
  };
  await storeTeacher(setup, new TeacherStore(teacherCache), total, onBatch, run.signal);
  return { batches, stopped: batches < total };
}

type Networks = {
  teacher: string;
  teacherConfig: JsonObject;
  /** The student's config, and the name that `run.json` has for it. */
  student: JsonObject;
  studentName: string;
};

/** Resolves the options and reads both configs. */
async function prepare({
  teacher,
  student: given,
  ...options
}: DistillNetworks & CachedRunOptions & TrainingRequest): Promise<{ run: TrainingRun; networks: Networks }> {
  const run = resolveRun(options, autoencoderSettings);
  const { consistency, lora } = run.options;
  const student = given ?? defaultStudent(run.options);
  if (lora) checkLoraStudent(lora, student, consistency);
  const teacherConfig = await readJson(path.join(teacher, "unet", "config.json"));
  const config = withGuidanceInput(studentConfig(teacherConfig, await readStudent(student)), consistency);
  const studentName = typeof student === "string" ? student : hashOf(student);
  return { run, networks: { teacher, teacherConfig, student: config, studentName } };
}

/** Opens the teacher on the run's device. */
async function openTeacher(run: TrainingRun, networks: Networks): Promise<OpenTeacher> {
  const { engine, options } = await withEngine(run);
  const components = await loadComponents(networks.teacher, { engine });
  return { engine, components, options: withGuidance(options, guidanceOf(components)) };
}

type OpenTeacher = Pick<DistillationSetup, "engine" | "options"> & { components: Components };

/** Opens the cache of the teacher's data. InvalidRequest before that for settings that the teacher rules out. */
async function openSetup(
  run: TrainingRun & Pick<DistillationSetup, "engine">,
  networks: Networks,
  components: Components,
): Promise<DistillationSetup> {
  const { engine, options } = run;
  const schedule = runNoise(components, options);
  const steps = stepDistillation(options, schedule, guidanceOf(components));
  const timesteps =
    options.samplingSteps === null ? undefined : visited(components, options.samplingSteps, schedule);
  const cache = await openRunCache(run, components);
  const { weights, file } = components.unet.component;
  return {
    ...{ engine, options, schedule, steps, timesteps, cache },
    teacher: { config: networks.teacherConfig, weights, file },
    student: networks.student,
  };
}

/** How the teacher is guided by default: SDXL takes zeros for no caption, Stable Diffusion the embeddings of "". */
function guidanceOf(components: Components): TeacherGuidance {
  const { guidanceScale } = requestDefaults(components, "textToImage");
  const { force_zeros_for_empty_prompt: forced } = components.folder.settings;
  const zeros = components.family === "sdxl" && forced !== false;
  return { guidanceScale, unconditional: zeros ? "zeros" : "empty-string" };
}

/** The settings with the teacher's guidance scale where they leave it to the teacher, so that `run.json` has it. */
function withGuidance(options: TrainingOptions, { guidanceScale }: TeacherGuidance): TrainingOptions {
  const { trajectory } = options;
  if (!trajectory || trajectory.guidanceScale !== null) return options;
  return { ...options, trajectory: { ...trajectory, guidanceScale: Math.max(1, guidanceScale) } };
}

/** The timesteps of so many steps of the teacher's scheduler. */
function visited({ scheduler: own }: Components, steps: number, { alphasCumprod }: TrainingNoise): number[] {
  if (steps > alphasCumprod.length) {
    const rule = `must be at most the teacher's ${alphasCumprod.length} timesteps, got ${steps}.`;
    throw new InvalidRequest("samplingSteps", steps, rule);
  }
  const scheduler = schedulerFromConfig(own.config, {}, own.className);
  scheduler.setTimesteps(steps);
  return [...new Set(scheduler.timesteps.map(Math.round))];
}

/** How images are to be generated with a student of few steps; InvalidRequest where its scheduler's class has no such betas. */
function fewSteps({ scheduler }: Components, options: TrainingOptions): Sampling | undefined {
  const noise = runNoise({ scheduler }, options);
  const sampling = samplingOf(options, noiseFields(scheduler.config, noise, noiseOverrides(options)));
  if (sampling) schedulerFromConfig(sampling.scheduler);
  return sampling;
}

/** How images are to be generated with the student: the scheduler's fields, and where it is by few steps, `koala.json`. */
function generation(
  { defaults: { source: _, ...defaults } }: Components,
  options: TrainingOptions,
  sampling: Sampling | undefined,
): Pick<ExportOptions, "scheduler" | "modelDefaults"> {
  if (sampling) {
    const { width, height, preview } = defaults;
    const kept = { ...(width && { width }), ...(height && { height }), ...(preview && { preview }) };
    return { scheduler: sampling.scheduler, modelDefaults: { ...kept, ...sampling.defaults } };
  }
  const { samplingSteps: steps } = options;
  return {
    scheduler: schedulerFields(options),
    ...(steps !== null && { modelDefaults: { ...defaults, steps } }),
  };
}
