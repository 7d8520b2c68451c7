/**
 * @file `npm run nano -- lessons`: the paper's lessons on data and on few steps at the small model's scale, beside the
 * comparisons of features in `ablation.ts`. Runs of one lesson have the same number of steps and the same seeds; one that
 * was measured before is not repeated.
 */

import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import path from "node:path";
import { fileURLToPath } from "node:url";
import type { Evaluator } from "../src/evaluate/evaluator.js";
import { writeAll, writeBeside } from "../src/files/file-system.js";
import type { DistillOptions } from "../src/train.js";
import { reduced } from "./ablation.js";
import { writeNouns } from "./data/dataset.js";
import { type Evaluation, evaluate } from "./evaluate.js";
import type { Sampling } from "./images.js";
import { comparisonStage } from "./stages.js";

const lessons = ["data", "feature loss", "teacher", "few steps"] as const;
type Lesson = (typeof lessons)[number];

type Options = Omit<DistillOptions, "teacher" | "data" | "output"> & { teacher?: string; data?: string };

/** A run: how it is trained, and how its images are sampled, each way a row. */
type Run = {
  lesson: Lesson;
  name: string;
  options: (at: (name: string) => string) => Options;
  samplings: readonly Sampling[];
};

const steps = 400;
const seeds = [0, 1, 2];
const base = { student: "koala-700m", feature: "sa", loss: { task: 1, out: 1, feat: 0.005 } } as const;
const usual: readonly Sampling[] = [{ steps: 10, guidanceScale: 2 }];
/** Guidance 1 is none. */
const bySteps = [1, 2, 4, 8, 10].flatMap((steps) =>
  [1, 2].map((guidanceScale) => ({ steps, guidanceScale })),
);
const withoutGuidance = [1, 2, 4, 8].map((steps) => ({ steps, guidanceScale: 1 }));

/** Images of the data sets that are compared: a pair's images, and whether captions name the noun alone. */
const dataSets = {
  "many-short": { perPair: 8, short: true },
  "few-full": { perPair: 2, short: false },
} as const;

/**
 * The same budget, 400 batches of 32 images: many images of half the resolution with short captions, or a quarter of
 * them in full with full captions; and what differs on the way from one to the other.
 */
const dataRuns: readonly Run[] = (
  [
    ["many-short", 64],
    ["many-short", 128],
    ["few-full", 64],
    ["few-full", 128],
  ] as const
).flatMap(([set, resolution]) =>
  seeds.map((seed) => ({
    lesson: "data" as const,
    name: `data-${set}-${resolution}-seed${seed}`,
    options: (at) => ({
      ...{ ...base, seed, resolution, data: at(set) },
      cacheFolder: at(`cache-${set}-${resolution}`),
    }),
    samplings: usual,
  })),
);

const featureLossRuns: readonly Run[] = (
  [
    ["plain", 0.005],
    ["plain", 1],
    ["ratio_of_squares", 0.005],
    ["ratio_of_squares", 1],
  ] as const
).flatMap(([featureLoss, feat]) =>
  seeds.map((seed) => ({
    lesson: "feature loss" as const,
    name: `feature-${featureLoss}-${feat}-seed${seed}`,
    options: () => ({ ...base, seed, featureLoss, loss: { task: 1, out: 1, feat } }),
    samplings: usual,
  })),
);

/** The guidance that is distilled into the few-step networks. */
const guidanceScale = 2;
const consistency = { wMin: guidanceScale - 1, wMax: guidanceScale - 1 };
const trajectory = { steps: 4, teacherSteps: 2, guidanceScale };

/** A step-distilled teacher, and students of it and of the base model. */
const teacherRuns: readonly Run[] = [
  {
    lesson: "teacher",
    name: "teacher-4-steps",
    options: () => ({ student: "teacher", trajectory, learningRate: 3e-4 }),
    samplings: bySteps,
  },
  ...seeds.flatMap((seed): Run[] => [
    {
      lesson: "teacher",
      name: `student-of-base-seed${seed}`,
      options: () => ({ ...base, seed }),
      samplings: bySteps,
    },
    {
      lesson: "teacher",
      name: `student-of-4-steps-seed${seed}`,
      options: (at) => ({ ...base, seed, teacher: at("teacher-4-steps"), samplingSteps: 4 }),
      samplings: bySteps,
    },
  ]),
];

/** From the same student: each step distillation, and as many further steps by the usual losses. */
const fewStepRuns: readonly Run[] = (
  [
    ["consistency", { student: "teacher", consistency }],
    ["trajectory", { student: "teacher", trajectory }],
    ["further", { student: "teacher", feature: "none", loss: { task: 1, out: 0, feat: 0 } }],
  ] as const
).flatMap(([name, options]) =>
  seeds.map((seed) => ({
    lesson: "few steps" as const,
    name: `few-${name}-seed${seed}`,
    options: (at) => ({
      ...{ ...options, seed, teacher: at("student-of-base-seed0"), learningRate: 3e-4 },
    }),
    samplings: name === "further" ? bySteps : withoutGuidance,
  })),
);

const lessonRuns = [...dataRuns, ...featureLossRuns, ...teacherRuns, ...fewStepRuns];

type Measured = {
  lesson: Lesson;
  name: string;
  /** The share of each term of the loss in the last tenth of the run. */
  terms: Record<string, number>;
  scores: Evaluation[];
};

const results = fileURLToPath(new URL("lessons.json", import.meta.url));

async function measured(): Promise<Measured[]> {
  return existsSync(results) ? (JSON.parse(await readFile(results, "utf8")) as Measured[]) : [];
}

/** Trains and measures what has not been measured; of one lesson alone, or of all. */
export async function runLessons(
  work: string,
  evaluator: Evaluator,
  signal: AbortSignal,
  only: string | undefined,
): Promise<void> {
  if (only !== undefined && !lessons.some((lesson) => lesson === only))
    throw new Error(`lessons: must be one of ${lessons.join(", ")}, got "${only}".`);
  const at = (name: string) => path.join(work, "ablation", name);
  await writeDataSets(at);
  const known = new Set((await measured()).map(({ name }) => name));
  const list = lessonRuns.filter(({ lesson, name }) => (only ?? lesson) === lesson && !known.has(name));
  for (const run of list) {
    console.log(`lessons: ${run.name}`);
    const stage = comparisonStage(work, run.name, steps, run.options(at));
    if (!(await stage.done())) await stage.run(signal);
    if (!(await stage.done())) throw new Error(`lessons: ${run.name} was stopped; the same command goes on`);
    const scores: Evaluation[] = [];
    for (const sampling of run.samplings)
      scores.push(await evaluate(at(run.name), evaluator, reduced(), sampling));
    const row: Measured = {
      ...{ lesson: run.lesson, name: run.name, terms: await lastTerms(at(run.name)) },
      scores,
    };
    const text = `${JSON.stringify([...(await measured()), row], undefined, 2)}\n`;
    await writeBeside(results, (handle) => writeAll(handle, new TextEncoder().encode(text)));
  }
}

async function writeDataSets(at: (name: string) => string): Promise<void> {
  const all = [["nouns", {}], ...Object.entries(dataSets)] as const;
  for (const [name, options] of all)
    if (!existsSync(path.join(at(name), "metadata.jsonl")))
      await writeNouns(reduced(), at(name), () => {}, options);
}

const notTerms = new Set(["step", "epoch", "loss", "lr", "gradNorm", "imagesPerSecond", "secondsPerStep"]);

/** The means of a run's terms over its last tenth. */
async function lastTerms(folder: string): Promise<Record<string, number>> {
  const lines = (await readFile(path.join(folder, "metrics.jsonl"), "utf8")).trim().split("\n");
  const last = lines.slice(-steps / 10).map((line) => JSON.parse(line) as Record<string, unknown>);
  const names = Object.keys(last[0]!).filter((n) => !notTerms.has(n) && typeof last[0]![n] === "number");
  const mean = (name: string) => last.reduce((sum, row) => sum + (row[name] as number), 0) / last.length;
  return Object.fromEntries(names.map((name) => [name, mean(name)]));
}

/** A table for each lesson: the mean over seeds, and their range where there are several. */
export async function lessonTables(): Promise<string> {
  const rows = await measured();
  return lessons
    .map((lesson) =>
      tableOf(
        lesson,
        rows.filter((row) => row.lesson === lesson),
      ),
    )
    .join("\n\n");
}

function tableOf(lesson: Lesson, rows: readonly Measured[]): string {
  const groups = new Map<string, Evaluation[]>();
  for (const { name, scores } of rows)
    for (const score of scores) {
      const { steps, guidanceScale } = score.sampling;
      const key = [name.replace(/-seed\d+$/, ""), steps, guidanceScale].join(" | ");
      groups.set(key, [...(groups.get(key) ?? []), score]);
    }
  const head = "run | steps | guidance | seeds | noun | style | noun, held out | style, held out";
  const line = ["---", ...Array<string>(7).fill("---:")].join(" | ");
  const body = [...groups].map(([key, all]) => {
    const columns = (["trained", "heldOut"] as const).flatMap((set) =>
      (["noun", "style"] as const).map((label) => spread(all.map((score) => score[set][label]))),
    );
    return [key, all.length, ...columns].join(" | ");
  });
  return [`### ${lesson}`, "", ...[head, line, ...body].map((row) => `| ${row} |`)].join("\n");
}

function spread(shares: readonly number[]): string {
  const percent = (share: number) => (100 * share).toFixed(1);
  const mean = percent(shares.reduce((a, b) => a + b, 0) / shares.length);
  if (shares.length === 1) return `${mean} %`;
  return `${mean} % (${percent(Math.min(...shares))} to ${percent(Math.max(...shares))})`;
}
