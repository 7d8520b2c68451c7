/** @file What is measured: a table of measures, and their numbers for each image of an evaluation. */

import type { RgbImage } from "../image/pixels.js";
import type { ClipModel } from "./clip-model.js";
import { type Evaluator, type Labelled, rightLabels } from "./evaluator.js";
import { psnr, ssim } from "./similarity.js";
import { cosine, mean } from "./vectors.js";

/** How a measure is printed. */
export type Measure = { name: string; digits: number; unit?: "%" | "dB"; about: string };

/** Those that do not depend on an evaluator's labels. */
const measures = {
  psnr: {
    name: "PSNR",
    digits: 1,
    unit: "dB",
    about:
      "agreement with the reference's image from the same prompt and seed: the peak signal-to-noise ratio",
  },
  ssim: {
    name: "SSIM",
    digits: 3,
    about: "the same: structural similarity (Wang et al. 2004), 1 for equal images",
  },
  clipScore: {
    name: "CLIP score",
    digits: 2,
    about:
      "100 times the cosine of the CLIP model's embeddings of the image and its prompt; of HPSv2, its score",
  },
  diversity: {
    name: "diversity",
    digits: 3,
    about: "between the seeds of a prompt: 1 less their mean SSIM, 0 if they all give one image",
  },
  clipDiversity: {
    name: "diversity by CLIP",
    digits: 3,
    about: "between the seeds of a prompt: 1 less the mean cosine of the images' embeddings",
  },
  allRight: {
    name: "all labels",
    digits: 1,
    unit: "%",
    about:
      "images on which the evaluator sees all that the prompt names, of prompts that name several: attributes bound",
  },
} as const satisfies Record<string, Measure>;

type MeasureId = keyof typeof measures;

/** A label's accuracy is a measure of its own, `label:noun`. */
export const measureOf = (id: string): Measure =>
  id in measures
    ? measures[id as MeasureId]
    : {
        name: id.replace(/^label:/, ""),
        digits: 1,
        unit: "%",
        about: `images whose ${id.replace(/^label:/, "")} the evaluator sees as the prompt names it`,
      };

/** The numbers of one prompt by measure: one per seed, or of all seeds together. */
type PromptMeasures = ReadonlyMap<string, readonly number[]>;

/** What one model gave for one prompt. */
export type PromptImages = {
  prompt: string;
  /** By seed. */
  images: readonly RgbImage[];
  /** Of the reference, from the same seeds. */
  reference?: readonly RgbImage[] | undefined;
};

/** What measures besides the pixels themselves. */
export type Instruments = { clip?: ClipModel | undefined; evaluator?: Evaluator | undefined };

export type Measured = {
  measures: PromptMeasures;
  /** By seed, where there is an evaluator. */
  seen?: readonly Labelled[];
  /** By seed, where there is a CLIP model. */
  embeddings?: readonly Float32Array[];
};

/** Measures the images of one prompt. */
export async function measurePrompt(
  { prompt, images, reference }: PromptImages,
  { clip, evaluator }: Instruments,
): Promise<Measured> {
  const found = new Map<string, readonly number[]>();
  if (reference) {
    found.set(
      "psnr",
      images.map((image, i) => psnr(image, reference[i]!)),
    );
    found.set(
      "ssim",
      images.map((image, i) => ssim(image, reference[i]!)),
    );
  }
  const seen = await evaluator?.predict(images);
  if (evaluator && seen) addAccuracy(found, seen, evaluator.targetOf(prompt));
  const embeddings = await clip?.imageEmbeddings(images);
  if (clip && embeddings) {
    const [text] = await clip.textEmbeddings([prompt]);
    found.set(
      "clipScore",
      embeddings.map((image) => 100 * cosine(image, text!)),
    );
  }
  if (images.length > 1) {
    found.set("diversity", [1 - mean(pairs(images).map(([a, b]) => ssim(a, b)))]);
    if (embeddings) found.set("clipDiversity", [1 - mean(pairs(embeddings).map(([a, b]) => cosine(a, b)))]);
  }
  return { measures: found, ...(seen && { seen }), ...(embeddings && { embeddings }) };
}

/** In percent. */
function addAccuracy(
  found: Map<string, readonly number[]>,
  seen: readonly Labelled[],
  target: Labelled,
): void {
  const rows = seen.map((one) => rightLabels(one, target));
  const labels = Object.keys(target);
  for (const label of labels)
    found.set(
      `label:${label}`,
      rows.map((row) => (row[label] ? 100 : 0)),
    );
  if (labels.length > 1)
    found.set(
      "allRight",
      rows.map((row) => (Object.values(row).every(Boolean) ? 100 : 0)),
    );
}

const pairs = <T>(list: readonly T[]): [T, T][] =>
  list.flatMap((a, i) => list.slice(i + 1).map((b): [T, T] => [a, b]));
