/** @file The report of a probe: what it says, as tables, and as Markdown. `probe-page.ts` is the same as a page. */

import type { Answers, Group, Row, Share } from "../evaluate/probe-counts.js";
import type { Question } from "../evaluate/probe-file.js";
import type { ProbePrompt } from "../evaluate/probe-templates.js";
import { type Generated, ownAccuracy, type Section, seedText, settingsText } from "./evaluation-report.js";
import { markdownTable } from "./table.js";

type Seen = { files: readonly string[]; answers: Answers };

export type ProbeReport = {
  format: 1;
  app: string;
  /** The file of the templates. */
  file: string;
  model: Generated;
  reference?: Generated;
  seeds: readonly string[];
  evaluator?: { name: string; accuracy?: Readonly<Record<string, number>> | undefined };
  clip?: { name: string };
  questions: Readonly<Record<string, Question>>;
  /** With the file of the mean image. */
  groups: readonly (Group & { mean: string })[];
  rows: readonly Row[];
  images: readonly (ProbePrompt & Seen & { reference?: Seen })[];
  warnings: readonly string[];
};

/** What the tables call a group. */
export const groupName = ({ template, place, word }: Group): string =>
  place === undefined ? template : `${template}: ${place} = ${word}`;

export const reportTitle = ({ model, reference }: ProbeReport): string =>
  `Probe of ${model.label}${reference ? ` beside ${reference.label}` : ""}`;

/** What was done, a line each. */
export function conditionsOf({
  file,
  model,
  reference,
  images,
  seeds,
  evaluator,
  clip,
  app,
}: ProbeReport): string[] {
  return [
    `${images.length} prompts (${file}), ${seeds.length === 1 ? "seed" : "seeds"} ${seedText(seeds)}`,
    ...[model, ...(reference ? [reference] : [])].map((side) => `${side.label}: ${settingsText(side)}`),
    ...(evaluator ? [`evaluator: ${evaluator.name}${ownAccuracy(evaluator.accuracy)}`] : []),
    ...(clip ? [`CLIP model: ${clip.name}, which chooses the label whose text is nearest to the image`] : []),
    `by ${app}`,
  ];
}

/** Labels that a table names of each group; the report's JSON has all. */
const mostLabels = 5;

export type ProbeTable = {
  template: string;
  question: string;
  head: readonly string[];
  rows: readonly ProbeTableRow[];
};
type ProbeTableRow = { cells: readonly string[]; share: number; differs: boolean };

/** A table for each template and question: how often what was seen, in all prompts and for each word. */
export function tablesOf({ rows, model, reference }: ProbeReport): ProbeTable[] {
  const head = [
    "words",
    "prompts",
    "seen",
    model.label,
    ...(reference ? [reference.label, "difference"] : []),
  ];
  const tables = new Map<string, ProbeTable & { rows: ProbeTableRow[] }>();
  for (const row of rows) {
    const { template, question } = row;
    const key = tableKey(row);
    const table = tables.get(key) ?? { template, question, head, rows: [] };
    tables.set(key, table);
    const isWhole = row.place === undefined;
    if (isWhole || row.labels.length > 0) table.rows.push(...tableRows(row));
  }
  return [...tables.values()];
}

function tableRows({ place, word, prompts, asAsked, labels }: Row): ProbeTableRow[] {
  const name = place === undefined ? "all" : `${place}: ${word}`;
  const named = labels.slice(0, mostLabels).map(({ label, ...share }) => ({
    ...share,
    label: asAsked ? `instead: ${label}` : label,
  }));
  const lines = [...(asAsked ? [{ label: "as asked", ...asAsked }] : []), ...named];
  return lines.map(({ label, model, reference, difference }, i) => {
    const others = reference && difference ? [cell(reference), cell(difference, true)] : [];
    const [low, high] = difference?.interval ?? [0, 0];
    return {
      cells: [...(i === 0 ? [name, String(prompts.length)] : ["", ""]), label, cell(model), ...others],
      share: model.mean,
      differs: low > 0 || high < 0,
    };
  });
}

/** "81.2 % [76.0, 86.1]", with a sign where it is a difference. */
function cell({ mean, interval }: Share, isDifference = false): string {
  const sign = isDifference && mean > 0 ? "+" : "";
  const range = interval ? ` [${interval.map((x) => x.toFixed(1)).join(", ")}]` : "";
  return `${sign}${mean.toFixed(1)} %${range}`;
}

/** What a reader must know of the numbers. */
export const meaningsOf = ({ reference }: ProbeReport): string[] => [
  "A share is of images. **As asked**: the classifier saw what the prompt names, of the prompts that name one. The lines " +
    `below are what it saw instead, the ${mostLabels} most often (report.json has all). A word whose images are all as asked has no line.`,
  "In brackets the interval that holds the share with 95 %, had other seeds been drawn for these prompts: a bootstrap over " +
    "seeds; Wilson's interval where every seed has none or all. It says nothing of other prompts. Without brackets the share is the same with every seed.",
  "The classifier errs too: where it is biased, so are the shares. What it sees is how an image looks to it, and no fact " +
    "about anybody.",
  "A mean image is the mean of the pixels of all images of the prompts: what they have in common stays sharp.",
  ...(reference
    ? [
        "A difference is of the two models from the same prompts and seeds; where its interval holds 0, these seeds do not tell them apart.",
      ]
    : []),
];

const list = (lines: readonly string[]): string => lines.map((line) => `- ${line}`).join("\n");

/** How it was probed, as a list. */
export const conditionList = (report: ProbeReport): string => list(conditionsOf(report));

/**
 * A table for each template and question; of the words of a table at most `mostWords`, those with the least as asked, or
 * where nothing is asked for those that are shown most one-sidedly.
 */
export function countedSections(report: ProbeReport, mostWords = Number.POSITIVE_INFINITY): Section[] {
  const { rows, leftOut } = withFewerWords(report.rows, mostWords);
  return tablesOf({ ...report, rows }).map(({ template, question, head, rows: lines }) => {
    const columns = head.map((title, i) => ({ title, numeric: i === 1 }));
    const cells = lines.map((row) => row.cells);
    const more = leftOut.get(tableKey({ template, question })) ?? 0;
    const rest = more > 0 ? `\n\n${more} more ${more === 1 ? "word is" : "words are"} in report.json.` : "";
    return {
      title: `${template}: ${question}`,
      markdown: `${markdownTable(columns, cells).trimEnd()}${rest}`,
    };
  });
}

const tableKey = ({ template, question }: Pick<Row, "template" | "question">): string =>
  JSON.stringify([template, question]);

function withFewerWords(rows: readonly Row[], most: number) {
  const leftOut = new Map<string, number>();
  const kept = new Set(rows);
  for (const key of new Set(rows.map(tableKey))) {
    const words = rows.filter(
      (row) => tableKey(row) === key && row.place !== undefined && row.labels.length > 0,
    );
    const right = ({ asAsked, labels }: Row) => asAsked?.model.mean ?? 100 - labels[0]!.model.mean;
    const rest = words.sort((a, b) => right(a) - right(b)).slice(most);
    for (const row of rest) kept.delete(row);
    leftOut.set(key, rest.length);
  }
  return { rows: rows.filter((row) => kept.has(row)), leftOut };
}

export const meaningList = (report: ProbeReport): string => list(meaningsOf(report));

/** `sheets` are files of mean images beside the report. */
export function probeMarkdown(report: ProbeReport, sheets: readonly string[]): string {
  const sections = [
    ...countedSections(report),
    { title: "Mean images", markdown: sheets.map((sheet) => `![Mean images](${sheet})`).join("\n\n") },
    { title: "What the figures mean", markdown: meaningList(report) },
    ...(report.warnings.length > 0 ? [{ title: "Warnings", markdown: list(report.warnings) }] : []),
  ];
  const texts = sections.map(({ title, markdown }) => `## ${title}\n\n${markdown}`);
  return `${[`# ${reportTitle(report)}`, conditionList(report), ...texts].join("\n\n")}\n`;
}
