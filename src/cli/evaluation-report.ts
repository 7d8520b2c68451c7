/** @file The report of an evaluation as JSON and as Markdown. */

import type { WeightFormat } from "../engine/device.js";
import type { Estimate } from "../evaluate/bootstrap.js";
import { measureOf } from "../evaluate/measures.js";
import type { Confusion, Distance, Figure } from "../evaluate/summary.js";
import type { ModelMetadata } from "../pipeline/metadata/schema.js";
import { placeText } from "./device.js";
import { markdownTable } from "./table.js";

/** What a model's images were generated with. */
export type Generated = {
  /** What the report calls it. */
  label: string;
  model: ModelMetadata;
  settings: Readonly<Record<string, unknown>>;
  device: string;
  dtype: string;
  weights?: WeightFormat;
};

export type Report = {
  format: 1;
  app: string;
  model: Generated;
  reference?: Generated;
  prompts: { source: string; count: number };
  seeds: readonly string[];
  /** What measured: the evaluator's accuracy on images that it was not trained on, and the CLIP model. */
  evaluator?: { name: string; accuracy?: Readonly<Record<string, number>> | undefined };
  clip?: { name: string; width: number };
  figures: readonly Figure[];
  categories: readonly { category: string; prompts: number; figures: readonly Figure[] }[];
  /** The Fréchet distances of CLIP features. */
  frechetDistances: readonly (Distance & { of: string; against: string })[];
  confusions?: readonly Confusion[];
  images: readonly ReportedPrompt[];
  warnings: readonly string[];
};

type ReportedPrompt = {
  prompt: string;
  category?: string | undefined;
  files: readonly string[];
  reference?: readonly string[] | undefined;
  measures: Readonly<Record<string, readonly number[]>>;
  referenceMeasures?: Readonly<Record<string, readonly number[]>> | undefined;
  seen?: readonly Readonly<Record<string, string>>[] | undefined;
};

/** Infinity, which JSON has not, as text. */
export const reportJson = (report: Report): string =>
  `${JSON.stringify(report, (_, value) => (value === Number.POSITIVE_INFINITY ? "Infinity" : value), 2)}\n`;

/** The same read back. */
export const reportFromJson = (text: string): Report =>
  JSON.parse(text, (_, value) => (value === "Infinity" ? Number.POSITIVE_INFINITY : value)) as Report;

export type Section = { title: string; markdown: string };

/** `sheets` are files beside the report. */
export function reportMarkdown(report: Report, sheets: readonly string[]): string {
  const { model, reference, warnings } = report;
  const sections = [
    ...measuredSections(report),
    ...extremes(report),
    {
      title: "Images",
      markdown: sheets.map((sheet) => `![Contact sheet](${sheet})`).join("\n\n"),
    },
    { title: "What the figures mean", markdown: meanings(report) },
    ...(warnings.length > 0
      ? [{ title: "Warnings", markdown: warnings.map((line) => `- ${line}`).join("\n") }]
      : []),
  ];
  const title = `# Evaluation of ${model.label}${reference ? ` against ${reference.label}` : ""}`;
  const texts = sections.map(({ title, markdown }) => `## ${title}\n\n${markdown}`);
  return `${[title, conditions(report), ...texts].join("\n\n")}\n`;
}

/** What was measured, as tables. */
export function measuredSections(report: Report): Section[] {
  const { figures, categories } = report;
  const distances = distanceText(report);
  return [
    { title: "Figures", markdown: `${table(figures, report)}${distances && `\n\n${distances}`}` },
    ...(categories.length > 0 ? [{ title: "By category", markdown: categoryTable(report) }] : []),
    ...confusionSection(report),
  ];
}

/** How it was measured, as a list. */
export function conditions({ model, reference, prompts, seeds, evaluator, clip, app }: Report): string {
  const lines = [
    `${prompts.count} prompts (${prompts.source}), ${seeds.length === 1 ? "seed" : "seeds"} ${seedText(seeds)}`,
    `${model.label}: ${settingsText(model)}`,
    ...(reference ? [`${reference.label}: ${settingsText(reference)}`] : []),
    ...(evaluator ? [`evaluator: ${evaluator.name}${ownAccuracy(evaluator.accuracy)}`] : []),
    ...(clip ? [`CLIP model: ${clip.name}, embeddings of ${clip.width} numbers`] : []),
    `by ${app}`,
  ];
  return lines.map((line) => `- ${line}`).join("\n");
}

export const seedText = (seeds: readonly string[]): string =>
  seeds.length > 3 ? `${seeds[0]} to ${seeds.at(-1)}` : seeds.join(", ");

export function ownAccuracy(accuracy: Readonly<Record<string, number>> | undefined): string {
  if (!accuracy) return "";
  const shares = Object.entries(accuracy).map(([label, share]) => `${label} ${(100 * share).toFixed(1)} %`);
  return `, itself right on images it was not trained on about ${shares.join(", ")}`;
}

export function settingsText({ settings, model, ...place }: Generated): string {
  const { steps, guidanceScale, width, height, scheduler, negativePrompt } = settings;
  const negative = negativePrompt ? `, without "${String(negativePrompt)}"` : "";
  const fingerprint = model.fingerprint.replace("sha256:", "").slice(0, 12);
  return `${steps} steps, guidance ${guidanceScale}, ${scheduler}, ${width} x ${height}${negative}; on ${placeText(place)}; fingerprint ${fingerprint}`;
}

function table(figures: readonly Figure[], { model, reference }: Report): string {
  if (figures.length === 0) return "Nothing was measured.";
  const head = ["", model.label, ...(reference ? [reference.label, "difference"] : [])];
  const rows = figures.map(({ measure, ...figure }) => [
    measureOf(measure).name,
    cell(measure, figure.model),
    ...(reference ? [cell(measure, figure.reference), cell(measure, figure.difference, true)] : []),
  ]);
  return markdown(head, rows);
}

/** "81.2 % [76.0, 86.1]", with a sign where it is a difference. */
function cell(id: string, estimate: Estimate | undefined, isDifference = false): string {
  if (!estimate) return "";
  const { digits, unit } = measureOf(id);
  const { mean, interval } = estimate;
  if (mean === Number.POSITIVE_INFINITY) return "infinite: some images are equal";
  const sign = isDifference && mean > 0 ? "+" : "";
  const range = interval ? ` [${interval.map((x) => x.toFixed(digits)).join(", ")}]` : "";
  return `${sign}${mean.toFixed(digits)}${unit ? ` ${unit}` : ""}${range}`;
}

function categoryTable({ categories, figures }: Report): string {
  const ids = figures.map(({ measure }) => measure);
  const head = ["category", "prompts", ...ids.map((id) => measureOf(id).name)];
  const rows = categories.map(({ category, prompts, figures: own }) => [
    category,
    String(prompts),
    ...ids.map((id) => cell(id, own.find(({ measure }) => measure === id)?.model)),
  ]);
  return markdown(head, rows);
}

function distanceText({ frechetDistances }: Report): string {
  const lines = frechetDistances.map((found) => {
    const { of, against } = found;
    const text =
      "value" in found
        ? `${found.value.toFixed(2)}, of ${found.images[0]} images against ${found.images[1]}`
        : `not given: it ${found.reason}`;
    return `Fréchet distance of CLIP features, ${of} against ${against}: ${text}.`;
  });
  return lines.join("\n\n");
}

const [mostConfusions, mostPrompts] = [15, 5];

function confusionSection({ confusions = [] }: Report): Section[] {
  if (confusions.length === 0) return [];
  const rows = confusions
    .slice(0, mostConfusions)
    .map(({ label, asked, seen, images }) => [label, asked, seen, String(images)]);
  const more = confusions.length - rows.length;
  const rest = more > 0 ? `\n\n${more} more are in the JSON report.` : "";
  const head = ["", "asked for", "seen", "images"];
  return [{ title: "What was seen instead", markdown: `${markdown(head, rows)}${rest}` }];
}

/** The prompts with the least of the measure that says most: of accuracy, CLIP score or agreement the first there is. */
function extremes({ images }: Report): Section[] {
  const id = ["allRight", "clipScore", "psnr"].find((one) => images.some(({ measures }) => one in measures));
  if (id === undefined || images.length <= mostPrompts) return [];
  const scored = images.flatMap(({ prompt, measures }) => {
    const numbers = measures[id];
    return numbers ? [{ prompt, mean: numbers.reduce((sum, x) => sum + x, 0) / numbers.length }] : [];
  });
  const { name: called, digits, unit = "" } = measureOf(id);
  const rows = scored
    .filter(({ mean }) => id !== "allRight" || mean < 100)
    .sort((a, b) => a.mean - b.mean)
    .slice(0, mostPrompts)
    .map(({ prompt, mean }) => [prompt, `${mean.toFixed(digits)} ${unit}`.trim()]);
  if (rows.length === 0) return [];
  return [{ title: `Lowest ${called}`, markdown: markdown(["prompt", called], rows) }];
}

/** What each figure means, as a list. */
export function meanings({ figures, frechetDistances }: Report): string {
  const lines = figures.map(({ measure }) => {
    const { name: called, about } = measureOf(measure);
    return `- **${called}**: ${about}.`;
  });
  const interval =
    "In brackets the interval that holds the mean with 95 %, had other prompts of the kind been asked: a bootstrap over " +
    "prompts, with the mean of a prompt's seeds as its number. A difference is of the two models over the same prompts; " +
    "where its interval holds 0, these prompts do not tell which model is better.";
  const distance =
    "- **Fréchet distance of CLIP features**: between the two sets of images as Gaussians of CLIP's embeddings. It is not " +
    "the FID, whose features are Inception's, and compares only with distances by the same CLIP model and as many images.";
  return [...lines, ...(frechetDistances.length > 0 ? [distance] : []), "", interval].join("\n");
}

const markdown = (head: readonly string[], rows: readonly (readonly string[])[]): string =>
  markdownTable(
    head.map((title) => ({ title })),
    rows,
  ).trimEnd();
