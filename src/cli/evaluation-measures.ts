/** @file Measures the images of `koala evaluate`, which lie in files by then, and makes the figures of the report. */

import path from "node:path";
import { openEngine } from "../engine/open-engine.js";
import { Cancelled, InvalidRequest } from "../errors.js";
import { ClipModel } from "../evaluate/clip-model.js";
import { Evaluator } from "../evaluate/evaluator.js";
import { type Instruments, type Measured, measurePrompt } from "../evaluate/measures.js";
import type { EvaluationPrompt } from "../evaluate/prompt-sets.js";
import { confusions, distance, figures } from "../evaluate/summary.js";
import { kindOf, readdir } from "../files/file-system.js";
import { bundledEvaluator } from "../hub/bundled-models.js";
import { decodeImage } from "../image/codec.js";
import { type DeviceFlags, deviceFlags } from "./device.js";
import type { Side } from "./evaluation-images.js";
import type { Report } from "./evaluation-report.js";
import type { ProgressBar } from "./terminal.js";

type Sides = readonly [own: Side, other?: Side | undefined];

type Options = DeviceFlags & {
  prompts: readonly EvaluationPrompt[];
  /** What the report calls the models. */
  labels: readonly [own: string, other: string];
  output: string;
  clip?: string;
  /** A folder of images to compare with. */
  images?: string;
  threads?: number;
  progress: ProgressBar;
  signal: AbortSignal;
};

/** What of a report comes from the images. */
type FromImages = Omit<Report, "format" | "app" | "model" | "reference" | "prompts" | "seeds">;

/** The folder that is named, or the model's own. */
export async function evaluatorIn(folder: string, evaluator?: string): Promise<string | undefined> {
  if (evaluator !== undefined) return evaluator;
  const own = path.join(folder, "evaluator");
  return (await kindOf(path.join(own, "config.json"))) === "file" ? own : bundledEvaluator(folder);
}

export async function measureSides(
  sides: Sides,
  evaluatorFolder: string | undefined,
  options: Options,
): Promise<FromImages> {
  const { threads } = options;
  const engine = await openEngine({ ...deviceFlags(options), ...(threads !== undefined && { threads }) });
  try {
    const instruments = {
      clip: options.clip === undefined ? undefined : await ClipModel.open(options.clip, engine),
      evaluator: evaluatorFolder === undefined ? undefined : await Evaluator.open(evaluatorFolder, engine),
    };
    return await measured(sides, instruments, options, evaluatorFolder);
  } finally {
    await engine.close();
  }
}

async function measured(
  sides: Sides,
  instruments: Instruments,
  options: Options,
  evaluatorFolder: string | undefined,
): Promise<FromImages> {
  const { prompts, clip: clipFolder } = options;
  const { clip, evaluator } = instruments;
  const { own, other } = await measureAll(sides, instruments, options);
  const targets = prompts.map(({ prompt }) => evaluator?.targetOf(prompt) ?? {});
  const distances = clip ? await distancesOf({ own, other }, clip, options) : [];
  return {
    ...(evaluator && {
      evaluator: { name: shortName(evaluatorFolder!), accuracy: evaluator.config.accuracy },
      confusions: confusions(targets, own),
    }),
    ...(clip && { clip: { name: shortName(clipFolder!), width: clip.width } }),
    figures: figures(own, other),
    categories: categoriesOf(prompts, own, other),
    frechetDistances: distances,
    images: prompts.map(({ prompt, category }, i) => ({
      ...{ prompt, category, files: sides[0].files[i]!, reference: sides[1]?.files[i] },
      measures: Object.fromEntries(own[i]!.measures),
      referenceMeasures: other && Object.fromEntries(other[i]!.measures),
      seen: own[i]!.seen,
    })),
    warnings: clip ? cutWarnings(prompts, clip) : [],
  };
}

/** The last names of a path, which say more than "evaluator" alone. */
export const shortName = (folder: string): string => path.resolve(folder).split(path.sep).slice(-2).join("/");

/** Both models' images of each prompt, in the order of the prompts. */
async function measureAll(
  [own, other]: Sides,
  instruments: Instruments,
  { prompts, output, progress, signal }: Options,
): Promise<{ own: Measured[]; other: Measured[] | undefined }> {
  const found = { own: [] as Measured[], other: other && ([] as Measured[]) };
  const read = (files: readonly string[]) =>
    Promise.all(files.map(async (file) => (await decodeImage(path.join(output, file))).image));
  const started = performance.now();
  progress.start("measuring", prompts.length);
  for (const [i, { prompt }] of prompts.entries()) {
    if (signal.aborted) throw new Cancelled("the evaluation");
    const images = await read(own.files[i]!);
    const reference = other && (await read(other.files[i]!));
    found.own.push(await measurePrompt({ prompt, images, reference }, instruments));
    if (reference) found.other!.push(await measurePrompt({ prompt, images: reference }, instruments));
    const each = (performance.now() - started) / 1000 / (i + 1);
    progress.step(i + 1, each * (prompts.length - i - 1));
  }
  progress.stop();
  return found;
}

/** The figures of each category, where there are several. */
function categoriesOf(
  prompts: readonly EvaluationPrompt[],
  own: readonly Measured[],
  other: readonly Measured[] | undefined,
): Report["categories"] {
  const names = [...new Set(prompts.flatMap(({ category }) => (category === undefined ? [] : [category])))];
  if (names.length < 2) return [];
  return names.map((category) => {
    const chosen = [...prompts.keys()].filter((i) => prompts[i]!.category === category);
    const of = (all: readonly Measured[]) => chosen.map((i) => all[i]!);
    return { category, prompts: chosen.length, figures: figures(of(own), other && of(other)) };
  });
}

/** Of the folder's images to each model's, or of the one model's to the other's. */
async function distancesOf(
  { own, other }: { own: readonly Measured[]; other: readonly Measured[] | undefined },
  clip: ClipModel,
  { images, labels }: Options,
): Promise<Report["frechetDistances"]> {
  const features = (all: readonly Measured[]) => all.flatMap(({ embeddings = [] }) => embeddings);
  const [of, others] = labels;
  if (images === undefined)
    return other ? [{ of, against: others, ...distance(features(own), features(other)) }] : [];
  const theirs: Float32Array[] = [];
  for (const file of await imagesIn(images))
    theirs.push(...(await clip.imageEmbeddings([(await decodeImage(file)).image])));
  const against = `the images in ${path.basename(images)}`;
  return [
    { of, against, ...distance(features(own), theirs) },
    ...(other ? [{ of: others, against, ...distance(features(other), theirs) }] : []),
  ];
}

/** The files of images in a folder and those inside it. */
async function imagesIn(folder: string): Promise<string[]> {
  const names = (await readdir(folder, { recursive: true })).map(String).sort();
  const images = names.filter((name) => /\.(png|jpe?g|webp)$/i.test(name));
  if (images.length > 0) return images.map((name) => path.join(folder, name));
  const rule = `must hold images (.png, .jpg, .webp), got none in ${folder}.`;
  throw new InvalidRequest("--images", folder, rule);
}

/** Of prompts that are longer than the CLIP model reads. */
function cutWarnings(prompts: readonly EvaluationPrompt[], clip: ClipModel): string[] {
  const cut = prompts.filter(({ prompt }) => clip.cut(prompt) !== undefined).length;
  if (cut === 0) return [];
  const { maxTokens } = clip.config.text;
  return [
    `clip: ${cut} of ${prompts.length} prompts have more than its ${maxTokens} tokens, and are scored cut`,
  ];
}
