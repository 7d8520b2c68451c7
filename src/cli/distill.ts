/** @file `koala distill`: cuts a student out of a teacher and trains it. */

import path from "node:path";
import { Command, Option } from "commander";
import { blockingEngine } from "../engine/ort/blocking-engine.js";
import { Cancelled, InvalidRequest } from "../errors.js";
import { readJson } from "../files/file-system.js";
import { loadComponents } from "../pipeline/components.js";
import { openCache } from "../train/cache/cache.js";
import {
  checkBatches,
  type DistillationOptions,
  distillationTask,
  storeTeacher,
} from "../train/distillation-task.js";
import { checkExport, exportModel } from "../train/export.js";
import { schedulerFields, trainingNoise } from "../train/noise.js";
import { trainingOptions } from "../train/options.js";
import { distillationPlan } from "../train/plan.js";
import { generateSamples } from "../train/samples.js";
import { studentConfig } from "../train/student.js";
import { TeacherStore } from "../train/teacher-store.js";
import { train } from "../train/trainer.js";
import { printPlan } from "./distillation-plan.js";
import { numberOption } from "./numbers.js";
import { ProgressBar, stopOnInterrupt } from "./terminal.js";
import {
  addDistillationOptions,
  addTrainingOptions,
  dataOptions,
  type TrainingFlags,
  trainingRequest,
} from "./training-options.js";
import { checkFolders, fillCache, finish, needed, watcher } from "./training-run.js";

type Flags = TrainingFlags & {
  teacher: string;
  student: string;
  data?: string;
  output?: string;
  teacherCache?: string;
  phase?: "teacher" | "student";
  plan?: boolean;
  memory?: number;
  link?: boolean;
};

export function distillCommand(): Command {
  const command = new Command("distill")
    .description("Cut a student U-Net out of a teacher and distil it, as KOALA does.")
    .requiredOption("-t, --teacher <folder>", "diffusers folder of the teacher")
    .option("--student <name>", "koala-700m, koala-1b, or a unet config.json", "koala-700m")
    .option("-d, --data <path>", "folder of images with captions, WebDataset .tar, or .parquet")
    .option("-o, --output <folder>", "becomes a complete diffusers folder, and holds the run");
  return addTrainingOptions(addDistillationOptions(command))
    .option("--link", "link the teacher's other parts instead of copying them")
    .option("--teacher-cache <folder>", "the teacher's results on disk, so that it need not be in memory")
    .addOption(
      new Option("--phase <which>", "with --teacher-cache: fill it, or train from it").choices([
        "teacher",
        "student",
      ]),
    )
    .option("--plan", "print what this takes in memory and work, and do nothing")
    .option("--memory <GB>", "with --plan: what fits into this much", numberOption)
    .addHelpText(
      "after",
      "\nExample:\n  koala distill -t ./sdxl -d ./images -o ./mine --student koala-700m -s 10000\n",
    )
    .action(distill);
}

async function distill(flags: Flags): Promise<void> {
  const options = trainingOptions(trainingRequest(flags));
  const teacherConfig = await readJson(path.join(flags.teacher, "unet", "config.json"));
  const named = flags.student.endsWith(".json") ? await readJson(flags.student) : flags.student;
  const student = studentConfig(teacherConfig, named as never);
  if (flags.plan) {
    const { feature, loss, trainBatchSize: batch } = options;
    const memory = flags.memory === undefined ? {} : { memory: flags.memory * 1e9 };
    const request = {
      teacher: teacherConfig,
      student,
      feature,
      loss,
      batch,
      ema: options.ema !== null,
      ...memory,
    };
    const resolutions = flags.resolution === undefined ? {} : { resolutions: [flags.resolution] };
    return printPlan(distillationPlan({ ...request, ...resolutions }), { json: flags.json === true });
  }
  const output = needed("output", flags.output, "--output FOLDER");
  const data = needed("data", flags.data, "--data PATH");
  if (flags.phase && !flags.teacherCache)
    throw new InvalidRequest("phase", flags.phase, "needs --teacher-cache FOLDER, got none.");
  const cacheFolder = flags.cache ?? path.join(output, "cache");
  await checkFolders(output, cacheFolder, flags.teacherCache);
  const plan = {
    teacher: flags.teacher,
    unetConfig: student,
    scheduler: schedulerFields(options),
    output,
    link: flags.link === true,
  };
  if (flags.phase !== "teacher") await checkExport(plan);

  const say = (line: string) => void (flags.quiet || process.stderr.write(`${line}\n`));
  const { signal, done } = stopOnInterrupt(say);
  const progress = new ProgressBar({ quiet: flags.quiet === true });
  try {
    const engine = blockingEngine({ threads: options.threads });
    const components = await loadComponents(flags.teacher, { engine });
    const filling = { data, dataOptions: dataOptions(flags), cacheFolder, components, options };
    await fillCache({ ...filling, signal, progress, say });
    if (signal.aborted) throw new Cancelled("the distillation");
    const cache = await openCache(cacheFolder);
    checkBatches(cache, options.trainBatchSize);
    const { weights, file } = components.unet.part;
    const stored = flags.teacherCache === undefined ? undefined : new TeacherStore(flags.teacherCache);
    const setup: DistillationOptions = {
      engine,
      options,
      teacher: { config: teacherConfig, weights, file },
      student,
      schedule: trainingNoise(components.scheduler.config as never, {
        ...(options.predictionType !== null && { target: options.predictionType }),
        rescaleBetasZeroSnr: options.rescaleBetasZeroSnr,
      }),
      cache,
      ...(stored && flags.phase !== "teacher" && { stored }),
      description: {
        command: "distill",
        teacher: path.basename(flags.teacher),
        student: flags.student,
        data: path.basename(data),
      },
      save: (unet) => save(unet),
      generateSamples: (step) => generateSamples(output, step, options.validationPrompts, engine),
    };
    if (flags.phase === "teacher") return await teacherPhase(setup, stored!, progress, signal, say);
    const job = distillationTask(setup);
    const save = (flat: Float32Array) => exportModel({ ...plan, weights: job.layout.tensors(flat) });
    const finished = await train(job, {
      folder: output,
      options,
      resume: flags.resume === true,
      signal,
      say,
      onStep: watcher(progress, flags),
    });
    progress.stop();
    finish(finished, output);
  } finally {
    progress.stop();
    done();
  }
}

/** Lets the teacher alone leave its results on disk for every batch of the run. */
async function teacherPhase(
  setup: DistillationOptions,
  store: TeacherStore,
  progress: ProgressBar,
  signal: AbortSignal,
  say: (line: string) => void,
): Promise<void> {
  const { maxTrainSteps, gradientAccumulationSteps } = setup.options;
  const batches = maxTrainSteps * gradientAccumulationSteps;
  const started = performance.now();
  progress.start("teaching", batches);
  await storeTeacher(
    setup,
    store,
    batches,
    (n) => progress.step(n, ((performance.now() - started) / 1000 / n) * (batches - n)),
    signal,
  );
  progress.stop();
  if (signal.aborted) process.exitCode = 130;
  else say(`the teacher's results of ${batches} batches are stored; go on with --phase student`);
}
