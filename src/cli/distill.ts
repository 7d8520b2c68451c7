/** @file `koala distill`: cuts a student out of a teacher and trains it. */

import path from "node:path";
import { Command, Option } from "commander";
import { InvalidRequest } from "../errors.js";
import { readJson } from "../files/file-system.js";
import { readModelDefaults } from "../pipeline/model-defaults.js";
import { type DistillOptions, distill, precomputeTeacher } from "../train/distill.js";
import { trainingOptions } from "../train/options.js";
import { distillationPlan } from "../train/plan.js";
import { readStudent } from "../train/student.js";
import { printPlan } from "./distillation-plan.js";
import { numberOption } from "./numbers.js";
import { exitCodes } from "./terminal.js";
import {
  addDistillationOptions,
  addTrainingOptions,
  runOptions,
  type TrainingFlags,
  trainingRequest,
  withShortHelp,
} from "./training-options.js";
import { printResult, required, withProgress } from "./training-run.js";

type Flags = TrainingFlags & {
  teacher: string;
  student?: string;
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
    .description(
      "Distill a student U-Net from a teacher, to fewer weights as KOALA, to fewer steps, or both.",
    )
    .requiredOption("-t, --teacher <folder>", "diffusers folder of the teacher")
    .option("--student <name>", "koala-700m, koala-1b, teacher or a config.json")
    .option("-d, --data <path>", "folder with captions, WebDataset .tar, .parquet")
    .option("-o, --output <folder>", "becomes a diffusers folder, and holds the run");
  const whole = addTrainingOptions(addDistillationOptions(command))
    .option("--link", "link the teacher's other components instead of copying them")
    .option("--teacher-cache <folder>", "the teacher's results, so that it may be absent")
    .addOption(new Option("--phase <which>", "of --teacher-cache").choices(["teacher", "student"]))
    .option("--plan", "print what this takes in memory and work")
    .option("--memory <GB>", "with --plan: what fits into this much", numberOption);
  return withShortHelp(whole)
    .addHelpText(
      "after",
      "\nExamples:\n  koala distill -t ./sdxl -d ./images -o ./mine --student koala-700m -s 10000\n" +
        "  koala distill -t ./mine -d ./images -o ./fast --consistency -s 1000\n",
    )
    .action(run);
}

async function run(flags: Flags): Promise<void> {
  if (flags.plan) return plan(flags);
  const { teacher, student, teacherCache, phase, link = false } = flags;
  const output = required("output", flags.output, "--output FOLDER");
  const data = required("data", flags.data, "--data PATH");
  if (phase && teacherCache === undefined)
    throw new InvalidRequest("phase", phase, "needs --teacher-cache FOLDER, got none.");
  const networks = {
    ...trainingRequest(flags),
    ...runOptions(flags),
    ...(student !== undefined && { student }),
    teacher,
    data,
    output,
  };
  if (phase === "teacher") return storeResults({ ...networks, teacherCache: teacherCache! }, flags);
  const options: DistillOptions = { ...networks, link, resume: flags.resume === true };
  const result = await withProgress(flags, (progress) =>
    distill({ ...options, ...(teacherCache !== undefined && { teacherCache }), ...progress }),
  );
  printResult(result, output, flags);
}

async function storeResults(options: DistillOptions & { teacherCache: string }, flags: Flags): Promise<void> {
  const result = await withProgress(flags, (progress) => precomputeTeacher({ ...options, ...progress }));
  if (result.stopped) process.exitCode = exitCodes.stopped;
  else if (!flags.quiet)
    process.stderr.write(
      `the teacher's results of ${result.batches} batches are stored; go on with --phase student\n`,
    );
}

async function plan(flags: Flags): Promise<void> {
  const request = trainingRequest(flags);
  const { ema, device, trainBatchSize, ...options } = trainingOptions(request);
  const { guidance } = await readModelDefaults(flags.teacher);
  const { trajectory } = options;
  const planned = distillationPlan({
    teacher: await readJson(path.join(flags.teacher, "unet", "config.json")),
    ...(flags.student !== undefined && { student: await readStudent(flags.student) }),
    ...{ feature: options.feature, featureLoss: options.featureLoss, loss: options.loss },
    consistency: options.consistency,
    lora: options.lora,
    // Guidance of less than 1 is none, as in `distill`.
    trajectory: trajectory && {
      ...trajectory,
      guidanceScale: trajectory.guidanceScale ?? (guidance === undefined ? null : Math.max(1, guidance)),
    },
    batch: trainBatchSize,
    batches: options.maxTrainSteps * options.gradientAccumulationSteps,
    ema: ema !== null,
    device,
    ...(flags.memory !== undefined && { memory: flags.memory * 1e9 }),
    ...(flags.resolution !== undefined && { resolutions: [flags.resolution] }),
  });
  printPlan(planned, { json: flags.json === true });
}
