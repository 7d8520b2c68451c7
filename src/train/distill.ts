/** @file Distillation of a student U-Net from a teacher (KOALA, arXiv 2312.04005), from folders to a model folder. */

import path from "node:path";
import { readJson } from "../files/file-system.js";
import type { JsonObject } from "../files/json.js";
import { type Components, loadComponents } from "../pipeline/components.js";
import { hashOf } from "../weights/fingerprint.js";
import { type DistillationSetup, distillationTask, storeTeacher } from "./distillation-task.js";
import type { TrainingResult } from "./events.js";
import { checkExport, exportModel } from "./export.js";
import { schedulerFields } from "./noise.js";
import type { TrainingRequest } from "./options.js";
import { withEngine } from "./run-engine.js";
import {
  type AutoencoderSetting,
  autoencoderSettings,
  type CachedRunOptions,
  checkFolders,
  openRunCache,
  resolveRun,
  runNoise,
  type TrainingRun,
} from "./run-options.js";
import { generateSamples } from "./samples.js";
import { readStudent, type Student, studentConfig } from "./student.js";
import { TeacherStore } from "./teacher-store.js";
import { train } from "./trainer.js";

export type DistillNetworks = {
  /** Model folder of the teacher, in Diffusers' layout. Its other components become the student's. */
  teacher: string;
  /** The student's U-Net (KOALA, section 3.1.1). Default "koala-700m". */
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
 * prediction and its features. `output` becomes a complete model folder; it is saved at every checkpoint, at the end and
 * when the signal fires. InvalidRequest by the option's name, ModelError and FileError by the file's; Cancelled when the
 * signal fires before training begins.
 */
export async function distill(options: DistillOptions): Promise<TrainingResult> {
  const { teacherCache, link = false, ...rest } = options;
  const { run, networks } = await prepare(rest);
  const { output, resume, signal, onEvent } = run;
  await checkFolders(output, run.cacheFolder, teacherCache);
  const model = {
    teacher: networks.teacher,
    unetConfig: networks.student,
    scheduler: schedulerFields(run.options),
    output,
    link,
  };
  await checkExport(model);
  const setup = await openSetup(run, networks);
  const { engine, options: settings } = setup;
  const task = distillationTask(setup, {
    description: {
      command: "distill",
      teacher: path.basename(networks.teacher),
      student: networks.studentName,
      data: path.basename(run.data),
    },
    stored: teacherCache === undefined ? undefined : new TeacherStore(teacherCache),
    save: (weights) => exportModel({ ...model, weights: task.layout.tensors(weights) }),
    generateSamples: (step) => generateSamples(output, step, settings.validationPrompts, engine),
  });
  return train(task, { folder: output, options: settings, resume, signal, onEvent });
}

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
  const setup = await openSetup(run, networks);
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
  student = "koala-700m",
  ...options
}: DistillNetworks & CachedRunOptions & TrainingRequest): Promise<{ run: TrainingRun; networks: Networks }> {
  const run = resolveRun(options, autoencoderSettings);
  const teacherConfig = await readJson(path.join(teacher, "unet", "config.json"));
  const config = studentConfig(teacherConfig, await readStudent(student));
  const studentName = typeof student === "string" ? student : hashOf(student);
  return { run, networks: { teacher, teacherConfig, student: config, studentName } };
}

/** Opens the teacher and the cache of its data. */
async function openSetup(run: TrainingRun, networks: Networks): Promise<DistillationSetup> {
  const { engine, options } = await withEngine(run);
  const components: Components = await loadComponents(networks.teacher, { engine });
  const cache = await openRunCache(run, components);
  const { weights, file } = components.unet.component;
  return {
    engine,
    options,
    teacher: { config: networks.teacherConfig, weights, file },
    student: networks.student,
    schedule: runNoise(components, options),
    cache,
  };
}
