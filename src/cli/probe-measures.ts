/** @file Looks at the images of `koala probe`, which lie in files by then: what is seen on each, and the means of groups. */

import path from "node:path";
import { openEngine } from "../engine/open-engine.js";
import { Cancelled } from "../errors.js";
import { ClipModel } from "../evaluate/clip-model.js";
import { Evaluator } from "../evaluate/evaluator.js";
import type { Answer, Answers, Group } from "../evaluate/probe-counts.js";
import type { ProbeFile, Question } from "../evaluate/probe-file.js";
import { filled, type ProbePrompt } from "../evaluate/probe-templates.js";
import { ZeroShot } from "../evaluate/zero-shot.js";
import { decodeImage, encodeImage } from "../image/codec.js";
import { MeanImage } from "../image/mean-image.js";
import type { RgbImage } from "../image/pixels.js";
import { resizeImage } from "../image/resize.js";
import { type DeviceFlags, deviceFlags } from "./device.js";
import type { Side } from "./evaluation-images.js";
import type { ProgressBar } from "./terminal.js";

/** The longer sides of mean images and of the small images in the report. */
const [meanSide, smallSide] = [256, 96];

type Options = DeviceFlags & {
  output: string;
  clip?: string;
  evaluator?: string | undefined;
  threads?: number;
  progress: ProgressBar;
  signal: AbortSignal;
  warn: (line: string) => void;
};

/** What one model's images show. */
export type Looked = {
  /** By prompt. */
  answers: readonly Answers[];
  /** The mean image of each group. */
  means: readonly RgbImage[];
  /** WebP files by prompt and seed. */
  small: readonly (readonly Uint8Array[])[];
};

type Instruments = {
  clip?: ClipModel | undefined;
  evaluator?: Evaluator | undefined;
  zeroShot?: ZeroShot | undefined;
};

export async function lookAt(
  sides: readonly Side[],
  { prompts, questions }: ProbeFile,
  groups: readonly Group[],
  options: Options,
) {
  const { threads, clip: clipFolder, evaluator: evaluatorFolder } = options;
  const engine = await openEngine({ ...deviceFlags(options), ...(threads !== undefined && { threads }) });
  try {
    const clip = clipFolder === undefined ? undefined : await ClipModel.open(clipFolder, engine);
    const evaluator =
      evaluatorFolder === undefined ? undefined : await Evaluator.open(evaluatorFolder, engine);
    const instruments = { clip, evaluator, zeroShot: clip && new ZeroShot(clip) };
    if (clip) warnOfCuts(clip, prompts, questions, options.warn);
    const looked: Looked[] = [];
    for (const side of sides)
      looked.push(await lookAtSide(side, { prompts, questions, groups }, instruments, options));
    return { looked, accuracy: evaluator?.config.accuracy };
  } finally {
    await engine.close();
  }
}

type Probe = Pick<ProbeFile, "prompts" | "questions"> & { groups: readonly Group[] };

async function lookAtSide(
  side: Side,
  probe: Probe,
  instruments: Instruments,
  options: Options,
): Promise<Looked> {
  const { output, progress, signal } = options;
  const { prompts, questions, groups } = probe;
  const means = groups.map(() => new MeanImage());
  const [answers, small]: [Answers[], Uint8Array[][]] = [[], []];
  const started = performance.now();
  progress.start(`looking at the images of ${side.model.name}`, prompts.length);
  for (const [i, prompt] of prompts.entries()) {
    if (signal.aborted) throw new Cancelled("the probe");
    const images = await Promise.all(
      side.files[i]!.map(async (file) => (await decodeImage(path.join(output, file))).image),
    );
    answers.push(await answersOf(prompt, images, questions, instruments));
    const reduced = images.map((image) => within(image, meanSide));
    for (const [g, group] of groups.entries())
      if (group.prompts.includes(i)) for (const image of reduced) means[g]!.add(image);
    small.push(await Promise.all(images.map((image) => encodeImage(within(image, smallSide), "webp"))));
    const each = (performance.now() - started) / 1000 / (i + 1);
    progress.step(i + 1, each * (prompts.length - i - 1));
  }
  progress.stop();
  return { answers, means: means.map((mean) => mean.mean()!), small };
}

async function answersOf(
  { prompt, values }: ProbePrompt,
  images: readonly RgbImage[],
  questions: ProbeFile["questions"],
  { clip, evaluator, zeroShot }: Instruments,
): Promise<Answers> {
  const answers: Record<string, Answer> = {};
  if (evaluator) {
    const [predicted, target] = [await evaluator.predict(images), evaluator.targetOf(prompt)];
    for (const label of evaluator.labels)
      answers[`${label}, by the evaluator`] = {
        seen: predicted.map((one) => one[label]!),
        expected: target[label],
      };
  }
  const asked = Object.entries(questions).flatMap(([name, question]) => {
    const texts = textsOf(question, values);
    return texts ? [{ name, texts, expected: question.expected }] : [];
  });
  if (!clip || !zeroShot || asked.length === 0) return answers;
  const embeddings = await clip.imageEmbeddings(images);
  for (const { name, texts, expected } of asked)
    answers[`${name}, by CLIP`] = {
      seen: await zeroShot.labels(embeddings, texts),
      expected: expected && filled(expected, values),
    };
  return answers;
}

/** The texts of a question with the prompt's words; undefined where it asks for places that the prompt lacks. */
export function textsOf({ texts }: Question, values: ProbePrompt["values"]) {
  const all = Object.entries(texts).map(
    ([label, some]) => [label, some.map((text) => filled(text, values))] as const,
  );
  const whole = (some: readonly (string | undefined)[]): some is string[] => !some.includes(undefined);
  return all.every(([, some]) => whole(some))
    ? (Object.fromEntries(all) as Record<string, string[]>)
    : undefined;
}

function warnOfCuts(
  clip: ClipModel,
  prompts: readonly ProbePrompt[],
  questions: ProbeFile["questions"],
  warn: Options["warn"],
): void {
  const texts = prompts.flatMap(({ values }) =>
    Object.values(questions).flatMap((question) => Object.values(textsOf(question, values) ?? {}).flat()),
  );
  const cut = new Set(texts.filter((text) => clip.cut(text) !== undefined)).size;
  if (cut > 0)
    warn(
      `clip: ${cut} texts of labels have more than its ${clip.config.text.maxTokens} tokens, and are read cut`,
    );
}

function within(image: RgbImage, side: number): RgbImage {
  const scale = Math.min(1, side / Math.max(image.width, image.height));
  const of = (length: number) => Math.max(1, Math.round(length * scale));
  return scale === 1 ? image : resizeImage(image, of(image.width), of(image.height), "bicubic");
}
