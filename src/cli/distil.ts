/** @file `koala distill`: cuts a student out of a teacher and trains it. */

import path from "node:path";
import { Command, Option } from "commander";
import pc from "picocolors";
import { blockingEngine } from "../engine/ort.js";
import { InvalidRequest } from "../errors.js";
import { loadComponents } from "../pipeline/load.js";
import { buildCache, type CacheProgress } from "../train/cache/build.js";
import { openCache } from "../train/cache/cache.js";
import { aspectBuckets } from "../train/data/buckets.js";
import { openData } from "../train/data/source.js";
import { checkBatches, type DistilOptions, distilJob, storeTeacher } from "../train/distil.js";
import { exportModel } from "../train/export.js";
import { trainingNoise } from "../train/noise.js";
import { type TrainingOptions, trainingOptions } from "../train/options.js";
import { paintSamples } from "../train/samples.js";
import { studentConfig } from "../train/student.js";
import { TeacherStore } from "../train/teacher-store.js";
import { train } from "../train/trainer.js";
import type { StepMetrics } from "../train/watch/metrics.js";
import { readJson } from "../weights/files.js";
import { Progress, stopOnInterrupt } from "./terminal.js";
import {
  addDistillationOptions,
  addTrainingOptions,
  numberOption,
  type TrainingFlags,
  trainingRequest,
} from "./training-options.js";

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

export function distilCommand(): Command {
  const command = new Command("distill")
    .description("Cut a student U-Net out of a teacher and distil it, as KOALA does.")
    .requiredOption("-t, --teacher <folder>", "diffusers folder of the teacher")
    .option("--student <name>", "koala-700m, koala-1b, or a unet config.json", "koala-700m")
    .option("-d, --data <path>", "folder of pictures with captions, WebDataset .tar, or .parquet")
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
      "\nExample:\n  koala distill -t ./sdxl -d ./pictures -o ./mine --student koala-700m -s 10000\n",
    )
    .action(distil);
}

async function distil(flags: Flags): Promise<void> {
  const options = trainingOptions(trainingRequest(flags));
  const teacherConfig = await readJson(path.join(flags.teacher, "unet", "config.json"));
  const named = flags.student.endsWith(".json") ? await readJson(flags.student) : flags.student;
  const student = studentConfig(teacherConfig, named as never);
  if (flags.plan) throw new Error("internal: PLAN"); //({ teacher: teacherConfig, student, options, ...(flags.memory !== undefined && { memory: flags.memory * 1e9 }) });
  const output = needed("output", flags.output, "--output FOLDER");
  const data = needed("data", flags.data, "--data PATH");
  if (flags.phase && !flags.teacherCache)
    throw new InvalidRequest("phase", flags.phase, "needs --teacher-cache FOLDER, got none.");

  const say = (line: string) => void (flags.quiet || process.stderr.write(`${line}\n`));
  const { signal, done } = stopOnInterrupt(say);
  const progress = new Progress({ quiet: flags.quiet === true });
  try {
    const engine = blockingEngine({ threads: options.threads });
    const components = await loadComponents(flags.teacher, { engine });
    const cacheFolder = flags.cache ?? path.join(output, "cache");
    await fillCache({ data, cacheFolder, components, options, signal, progress, say });
    if (signal.aborted) return;
    const cache = await openCache(cacheFolder);
    checkBatches(cache, options.trainBatchSize);
    const { weights, file } = components.unet.part;
    const stored = flags.teacherCache === undefined ? undefined : new TeacherStore(flags.teacherCache);
    const setup: DistilOptions = {
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
      paint: (step) => paintSamples(output, step, options.validationPrompts, engine),
    };
    if (flags.phase === "teacher") return await teacherPhase(setup, stored!, progress, signal, say);
    const job = distilJob(setup);
    const save = (flat: Float32Array) =>
      exportModel({
        teacher: flags.teacher,
        unetConfig: student,
        weights: job.layout.tensors(flat),
        output,
        link: flags.link === true,
      });
    const finished = await train(job, {
      engine,
      folder: output,
      options,
      resume: flags.resume === true,
      signal,
      say,
      onStep: watcher(progress, flags),
    });
    progress.stop();
    if (finished.stopped) process.exitCode = 130;
    else process.stdout.write(`${output}\n`);
  } finally {
    progress.stop();
    done();
  }
}

type Filling = {
  data: string;
  cacheFolder: string;
  components: Awaited<ReturnType<typeof loadComponents>>;
  options: TrainingOptions;
  signal: AbortSignal;
  progress: Progress;
  say: (line: string) => void;
};

/** Latents and embeddings on disk; neither encoder stays in memory. */
async function fillCache({
  data,
  cacheFolder,
  components,
  options,
  signal,
  progress,
  say,
}: Filling): Promise<void> {
  const source = await openData(data);
  const report = await buildCache({
    data: source,
    dataPath: data,
    components,
    folder: cacheFolder,
    resolution: options.resolution,
    ...(options.aspectRatioBuckets && { buckets: aspectBuckets(options.resolution) }),
    crop: options.randomCrop ? "random" : "center",
    flip: options.randomFlip,
    seed: options.seed,
    signal,
    onProgress: shown(progress),
  });
  progress.stop();
  for (const { key, reason } of report.skipped.slice(0, 10)) say(pc.yellow(`skipped ${key}: ${reason}`));
  if (report.skipped.length > 0) say(pc.yellow(`${report.skipped.length} skipped in all`));
}

/** Lets the teacher alone leave its results on disk for every batch of the run. */
async function teacherPhase(
  setup: DistilOptions,
  store: TeacherStore,
  progress: Progress,
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

function needed(field: string, value: string | undefined, flag: string): string {
  if (value !== undefined) return value;
  throw new InvalidRequest(field, undefined, `must be given, got none. Add ${flag}.`);
}

/** Shows the two stages of caching one after the other. */
function shown(progress: Progress): (at: CacheProgress) => void {
  let [stage, started] = ["", 0];
  return ({ stage: now, done, total }) => {
    if (now !== stage) {
      progress.stop();
      progress.start(`encoding ${now}`, total);
      [stage, started] = [now, performance.now()];
    }
    progress.step(done, ((performance.now() - started) / 1000 / Math.max(1, done)) * (total - done));
  };
}

/** A line of progress with the losses, or a JSON line. */
function watcher(progress: Progress, { json, quiet }: Flags): (row: StepMetrics, last: number) => void {
  let begun = false;
  return (row, last) => {
    if (json) process.stdout.write(`${JSON.stringify(row)}\n`);
    if (!begun) progress.start("training", last);
    begun = true;
    progress.step(row.step, (row.secondsPerStep ?? 0) * (last - row.step), lossLine(row));
    if (!quiet && !process.stderr.isTTY && row.step % 50 === 0)
      process.stderr.write(`step ${row.step} of ${last}: ${lossLine(row)}\n`);
  };
}

function lossLine({ loss, task, out, feat, imagesPerSecond }: StepMetrics): string {
  const terms = Object.entries({ loss, task, out, feat }).filter(([, value]) => typeof value === "number");
  const speed = imagesPerSecond ? ` ${imagesPerSecond.toFixed(1)} images/s` : "";
  return `${terms.map(([name, value]) => `${name} ${(value as number).toPrecision(4)}`).join(" ")}${speed}`;
}
