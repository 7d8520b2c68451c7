/**
 * @file `npm run nano -- ablation`: the paper's comparisons at the small model's scale. Each run distills a student of the
 * same teacher for the same number of steps; a run that was measured before is not repeated.
 */

import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { blockingEngine } from "../src/engine/ort/blocking-engine.js";
import type { Evaluator } from "../src/evaluate/evaluator.js";
import { writeAll, writeBeside } from "../src/files/file-system.js";
import type { RgbImage } from "../src/image/pixels.js";
import { componentProgram } from "../src/pipeline/component.js";
import { loadComponents } from "../src/pipeline/components.js";
import { noisyBatch } from "../src/train/batches.js";
import { buildCache } from "../src/train/cache/build.js";
import { openCache } from "../src/train/cache/cache.js";
import { openData } from "../src/train/data/source.js";
import type { FeatureSet } from "../src/train/features.js";
import type { LossWeights } from "../src/train/loss.js";
import { trainingNoise } from "../src/train/noise.js";
import { trainingOptions } from "../src/train/options.js";
import { teacherOut, teacherTrace } from "../src/train/step.js";
import type { StudentName } from "../src/train/student.js";
import { worded } from "./data/captions.js";
import { among, readData, writeNouns } from "./data/dataset.js";
import { styles } from "./data/emoji.js";
import { type Evaluation, evaluate } from "./evaluate.js";
import { generateAll, writeImages } from "./images.js";
import { comparisonStage } from "./stages.js";

/** The options of a run that differ from the others'. */
export type AblationRun = {
  name: string;
  student: StudentName;
  feature: FeatureSet;
  loss: LossWeights;
  seed: number;
};

/**
 * The weights that make the term of every kind of feature equal after fifty steps (0.27, as much as the output's term).
 * The teacher's features differ in size: with one weight for all, those of the residual blocks are the whole loss.
 */
const featureWeights = { sa: 0.005, ca: 0.00125, res: 0.000017, ffn: 0.0023, lf: 0.000025 } as const;
type Kind = keyof typeof featureWeights;

const withFeature = (kind: Kind, feature: FeatureSet, other: Partial<AblationRun> = {}): AblationRun => ({
  name: feature,
  student: "koala-700m",
  feature,
  loss: { task: 1, out: 1, feat: featureWeights[kind] },
  seed: 0,
  ...other,
});
const withoutFeature = (name: string, out: 0 | 1): AblationRun =>
  withFeature("sa", "none", { name, loss: { task: 1, out, feat: 0 } });

/** The paper's comparisons of features, layers and topologies; `sa` and the next best are repeated afterwards. */
export const runs: readonly AblationRun[] = [
  withoutFeature("none", 0),
  withoutFeature("out", 1),
  ...(Object.keys(featureWeights) as Kind[]).map((kind) => withFeature(kind, kind)),
  ...(["sa_interleaved", "sa_top"] as const).map((feature) => withFeature("sa", feature)),
  withFeature("sa", "sa", { name: "sa-1b", student: "koala-1b" }),
  ...otherSeeds(withFeature("sa", "sa")),
];

function otherSeeds(run: AblationRun): AblationRun[] {
  return [1, 2].map((seed) => ({ ...run, name: `${run.name}-seed${seed}`, seed }));
}

/** The run of `feature` with other seeds. */
export function repeats(feature: string): AblationRun[] {
  const best = runs.find(({ name }) => name === feature);
  if (best === undefined)
    throw new Error(`ablation: must be one of ${runs.map(({ name }) => name).join(", ")}, got "${feature}".`);
  return otherSeeds(best);
}

/** Every third noun: what the comparisons are trained on. */
export function reduced() {
  const data = readData();
  return among(
    data.nouns.filter((_, i) => i % 3 === 0),
    data,
  );
}

type Measured = AblationRun & {
  steps: number;
  /** Mean squared errors of predicted velocities on the pairs that training never saw. */
  heldOutLoss: number;
  againstTeacher: number;
  scores: Evaluation;
};

const results = fileURLToPath(new URL("ablation.json", import.meta.url));

async function measured(): Promise<Measured[]> {
  return existsSync(results) ? (JSON.parse(await readFile(results, "utf8")) as Measured[]) : [];
}

const steps = 400;

/** Trains and measures those of `list` that have not been measured. */
export async function ablate(
  work: string,
  evaluator: Evaluator,
  signal: AbortSignal,
  list: readonly AblationRun[] = runs,
): Promise<void> {
  const images = path.join(work, "ablation", "nouns");
  if (!existsSync(path.join(images, "metadata.jsonl"))) await writeNouns(reduced(), images, () => {});
  const known = new Set((await measured()).map(({ name }) => name));
  for (const r of list.filter(({ name }) => !known.has(name))) {
    console.log(`ablation: ${r.name}`);
    const { name, ...options } = r;
    const stage = comparisonStage(work, name, steps, options);
    if (!(await stage.done())) await stage.run(signal);
    if (!(await stage.done())) throw new Error(`ablation: ${r.name} was stopped; the same command goes on`);
    await measure(r, work, evaluator);
  }
}

/** Adds a run's figures to those of the runs before. */
async function measure(r: AblationRun, work: string, evaluator: Evaluator): Promise<void> {
  const model = path.join(work, "ablation", r.name);
  const errors = await heldOutErrors(work, model);
  const scores = await evaluate(model, evaluator, reduced());
  const row: Measured = { ...r, steps, ...errors, scores };
  const text = `${JSON.stringify([...(await measured()), row], undefined, 2)}\n`;
  await writeBeside(results, (handle) => writeAll(handle, new TextEncoder().encode(text)));
}

const batchSize = 32;

/** The student's errors against the true velocity and the teacher's, on every held-out image with the same noise. */
async function heldOutErrors(work: string, model: string) {
  const engine = blockingEngine();
  const teacher = path.join(work, "teacher");
  const cache = await heldOutCache(work, teacher);
  const models = await Promise.all([teacher, model].map((folder) => loadComponents(folder, { engine })));
  const schedule = trainingNoise(models[0]!.scheduler.config as never);
  const options = trainingOptions({ trainBatchSize: batchSize, resolution: 128, seed: 1_000_000 });
  const passes = await Promise.all(
    models.map(({ unet: { component, config } }) =>
      engine.load(
        componentProgram("unet", component.file, component.weights, teacherTrace(config, []), engine),
      ),
    ),
  );
  const images = [...cache.keysByBucket.values()].flat().length;
  const count = 4 * Math.floor(images / batchSize);
  let [heldOutLoss, againstTeacher] = [0, 0];
  let position = { epoch: 0, batch: 0 };
  for (let batch = 0; batch < count; batch++) {
    const { inputs, next } = await noisyBatch(cache, schedule, options, { position, batch });
    const { target, task_weights, ...given } = inputs;
    const [fromTeacher, fromStudent] = await Promise.all(
      passes.map(async (pass) => (await pass.run(given))[teacherOut]!.data as Float32Array),
    );
    heldOutLoss += squared(fromStudent!, target!.data as Float32Array) / count;
    againstTeacher += squared(fromStudent!, fromTeacher!) / count;
    position = next;
  }
  await Promise.all(passes.map((pass) => pass.release()));
  return { heldOutLoss, againstTeacher };
}

/** Latents and embeddings of the pairs that no training saw, by the teacher's own encoders. */
async function heldOutCache(work: string, teacher: string) {
  const at = (name: string) => path.join(work, "ablation", name);
  const [images, folder] = [at("held"), at("held-cache")];
  if (!existsSync(path.join(images, "metadata.jsonl")))
    await writeNouns(reduced(), images, () => {}, { heldOut: true });
  await buildCache({
    data: await openData(images),
    dataPath: images,
    components: await loadComponents(teacher, { engine: blockingEngine() }),
    folder,
    resolution: 128,
    crop: "center",
    flip: false,
    seed: 0,
  });
  return openCache(folder);
}

function squared(a: Float32Array, b: Float32Array): number {
  let sum = 0;
  for (const [i, x] of a.entries()) sum += (x - b[i]!) ** 2;
  return sum / a.length;
}

/** The figures of every run as the table of docs/ablation.md. */
export async function ablationTable(): Promise<string> {
  const percent = (share: number) => `${(100 * share).toFixed(1)} %`;
  const rows = (await measured()).map(({ name, student, heldOutLoss, againstTeacher, scores }) =>
    [
      name,
      student.replace("koala-", "").toUpperCase(),
      heldOutLoss.toFixed(4),
      againstTeacher.toFixed(4),
      ...[scores.trained, scores.heldOut].flatMap(({ noun, style }) => [percent(noun), percent(style)]),
    ].join(" | "),
  );
  const head =
    "run | student | held-out loss | against the teacher | noun | style | noun, held out | style, held out";
  const line = ["---", "---", ...Array<string>(6).fill("---:")].join(" | ");
  return [head, line, ...rows].map((row) => `| ${row} |`).join("\n");
}

/** A row of the same nine prompts for the teacher, and below it for every run, in the table's order. */
export async function writeRows(work: string, file: string): Promise<void> {
  const nouns = reduced().nouns.filter((_, i) => i % 4 === 0);
  const prompts = nouns.map(({ name }, i) => worded(name, styles[i % styles.length]!));
  const folders = (await measured()).map(({ name }) => path.join(work, "ablation", name));
  const rows: RgbImage[] = [];
  for (const folder of [path.join(work, "teacher"), ...folders])
    rows.push(...(await generateAll(folder, prompts, prompts.length)));
  await writeImages(rows, prompts.length, file);
}
