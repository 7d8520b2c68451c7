/** @file What `koala card` writes of a model: its parts, how it is used, its training by the run's own files, what was measured. */

import { byteSize } from "../byte-size.js";
import { isValidation, type Metrics, type StepMetrics } from "../monitor/metrics.js";
import type { Run } from "../monitor/run.js";
import type { ModelReport } from "../pipeline/inspect.js";
import type { RequestDefaults } from "../pipeline/model-defaults.js";
import { changeable } from "../train/open-run.js";
import { trainingOptions } from "../train/options.js";
import type { Block } from "./card-text.js";
import { conditions, meanings, measuredSections, type Report, type Section } from "./evaluation-report.js";
import { conditionList, countedSections, meaningList, type ProbeReport } from "./probe-report.js";
import { markdownTable } from "./table.js";
import { duration } from "./terminal.js";

const numeric = true;

const dtypeNames: Readonly<Record<string, string>> = { F16: "float16", BF16: "bfloat16", F32: "float32" };
const dtypes = (names: string) =>
  names
    .split(" ")
    .map((name) => dtypeNames[name] ?? name)
    .join(", ");

export function partsBlock({ components }: ModelReport, classes: ReadonlyMap<string, string>): Block {
  const rows = components.map(({ component, parameters, bytes, ...part }) => [
    ...[component, classes.get(component) ?? "", parameters.toLocaleString("en")],
    ...[dtypes(part.dtypes), byteSize(bytes)],
  ]);
  const total = components.reduce((sum, { parameters }) => sum + parameters, 0);
  const columns = [
    ...[{ title: "component" }, { title: "class" }, { title: "parameters", numeric }],
    ...[{ title: "dtype" }, { title: "size", numeric }],
  ];
  const table = markdownTable(columns, [...rows, ["together", "", total.toLocaleString("en"), "", ""]]);
  return { name: "parts", heading: "Parts", markdown: table };
}

/** Losses at the start and the end are means over a tenth of the steps, at most so many. */
const mostMeaned = 100;

/** The training by `run.json` and `metrics.jsonl`. */
export function trainingBlock(run: Run, metrics: readonly Metrics[]): Block {
  const steps = metrics.filter((row): row is StepMetrics => !isValidation(row));
  const options = { ...trainingOptions({}), ...run.options };
  const markdown = [factList(run, steps, options), optionTable(options), lossTable(steps)];
  return { name: "training", heading: "Training", markdown: markdown.filter(Boolean).join("\n\n") };
}

function factList(
  { command, started, models }: Run,
  steps: readonly StepMetrics[],
  options: JsonOptions,
): string {
  const last = steps.at(-1);
  const seconds = steps.reduce((sum, { secondsPerStep }) => sum + (secondsPerStep || 0), 0);
  const { maxTrainSteps, trainBatchSize, gradientAccumulationSteps: times, device } = options;
  const batch = Number(trainBatchSize) * Number(times);
  const many = (n: number) => n.toLocaleString("en");
  return [
    `\`koala ${command}\`, begun on ${started.slice(0, 10)}${last ? `, its last step on ${last.time.slice(0, 10)}` : ""}`,
    ...Object.entries(models).map(([role, name]) => `${role}: ${name}`),
    ...(last
      ? [
          `${many(last.step)} of ${many(Number(maxTrainSteps))} steps of ${batch} images: ${many(last.step * batch)} images, ` +
            `${last.epoch.toFixed(1)} passes through the data`,
          `${duration(seconds)} of steps on ${device}, without loading and saving`,
        ]
      : ["no step of it is recorded"]),
  ]
    .map((line) => `- ${line}`)
    .join("\n");
}

type JsonOptions = Readonly<Record<string, unknown>>;

/** Named even where they are the defaults. */
const always: ReadonlySet<string> = new Set(["learningRate", "resolution", "seed"]);
/** Said above the table. */
const said: ReadonlySet<string> = new Set(["maxTrainSteps", "trainBatchSize", "gradientAccumulationSteps"]);

/** The options that decide what was computed and are not the defaults. */
function optionTable(options: JsonOptions): string {
  const defaults: JsonOptions = trainingOptions({});
  const text = JSON.stringify;
  const rows = Object.entries(options)
    .filter(([key]) => !changeable.has(key) && !said.has(key))
    .filter(([key, value]) => always.has(key) || text(value) !== text(defaults[key]))
    .map(([key, value]) => [key, text(value)]);
  return markdownTable([{ title: "option" }, { title: "value" }], rows).trimEnd();
}

function lossTable(steps: readonly StepMetrics[]): string {
  const count = Math.min(mostMeaned, Math.ceil(steps.length / 10));
  const names = ["loss", "task", "out", "feat", "solver", "psnr"] as const;
  const mean = (rows: readonly StepMetrics[], name: (typeof names)[number]) =>
    (rows.reduce((sum, row) => sum + (row[name] ?? Number.NaN), 0) / rows.length).toPrecision(4);
  const rows = names
    .filter((name) => steps.some((row) => row[name] !== undefined))
    .map((name) => [name, mean(steps.slice(0, count), name), mean(steps.slice(-count), name)]);
  if (rows.length === 0) return "";
  const of = count === 1 ? "step" : `${count} steps`;
  const columns = [{ title: "" }, { title: `first ${of}`, numeric }, { title: `last ${of}`, numeric }];
  return markdownTable(columns, rows).trimEnd();
}

/** The tables of `koala evaluate`. */
export function evaluationBlock(reports: readonly Report[]): Block {
  const parts = reports.map((report) => {
    const { model, reference } = report;
    const title = `Evaluation of ${model.label}${reference ? ` against ${reference.label}` : ""}`;
    return measured(title, conditions(report), measuredSections(report), meanings(report));
  });
  return { name: "evaluation", heading: "Evaluation", markdown: parts.join("\n\n") };
}

/** Of each table of a probe. */
const mostWords = 8;

/** The tables of `koala probe`. */
export function probeBlock(reports: readonly ProbeReport[]): Block {
  const parts = reports.map((report) => {
    const title = `Probe by ${report.file}`;
    return measured(title, conditionList(report), countedSections(report, mostWords), meaningList(report));
  });
  return { name: "probe", heading: "Limits and bias", markdown: parts.join("\n\n") };
}

function measured(title: string, how: string, sections: readonly Section[], meaning: string): string {
  const tables = sections.map((section) => `**${section.title}**\n\n${section.markdown}`);
  const folded = `<details>\n<summary>What the figures mean</summary>\n\n${meaning}\n\n</details>`;
  return [`### ${title}`, how, ...tables, folded].join("\n\n");
}

/** What only people can say; until they do, the card says that it is not said. */
const unwritten: Readonly<Record<string, string>> = {
  "Intended use": "what the model is for, and what it must not be used for",
  Data: "what it was trained on, and whose that is",
  "Limits and bias": "what it cannot do, and what it shows unasked",
};
const toBeWritten = "*To be written:";

/** The headings whose section has yet to be written. */
export const unwrittenSections = (body: string): string[] =>
  Object.keys(unwritten).filter((heading) => body.includes(`${toBeWritten} ${unwritten[heading]}`));

export type NewCard = {
  name: string;
  className: string;
  origin: string;
  defaults: RequestDefaults;
  /** The name of a single file. */
  file?: string;
};

/** The body of a card that nobody has begun; blocks are added to it. */
export function newBody({ name, className, origin, defaults, file }: NewCard): string {
  const { numInferenceSteps: steps, guidanceScale: guidance, width, height } = defaults;
  const section = (heading: string) => `## ${heading}\n\n${toBeWritten} ${unwritten[heading]}.*`;
  const call = `pipe(prompt, num_inference_steps=${steps}, guidance_scale=${guidance}, height=${height}, width=${width})`;
  const [loader, from] = file ? [className, "from_single_file"] : ["DiffusionPipeline", "from_pretrained"];
  return [
    `# ${name.split("/").at(-1)}`,
    `Text to image: a \`${className}\`${origin}, made with [koala-diffusion](https://github.com/koala-diffusion/koala-diffusion).`,
    `## Use\n\n\`\`\`sh\nnpx koala generate --model ${file ?? name} "a koala"\n\`\`\``,
    `\`\`\`python\nfrom diffusers import ${loader}\n\npipe = ${loader}.${from}("${file ?? name}")\nprompt = "a koala"\nimage = ${call}.images[0]\n\`\`\``,
    ...[section("Intended use"), "## Parts", section("Data"), section("Limits and bias")],
  ].join("\n\n");
}
