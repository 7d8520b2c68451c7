/** @file `koala probe`: generates the images of templates with slots, and counts what is seen on them. Goes on where it was stopped. */

import path from "node:path";
import { Command, Option } from "commander";
import { resolveSeed, seedAfter } from "../diffusion/seed.js";
import { InvalidRequest } from "../errors.js";
import { countAnswers, groupsOf } from "../evaluate/probe-counts.js";
import { type ProbeFile, readProbe } from "../evaluate/probe-file.js";
import { spread } from "../evaluate/read-prompts.js";
import { writeWhole } from "../files/file-system.js";
import { modelOrBundled } from "../hub/bundled-models.js";
import { encodeImage } from "../image/codec.js";
import { versions } from "../pipeline/metadata/versions.js";
import { dim } from "./colors.js";
import { type DeviceFlags, withDeviceOptions } from "./device.js";
import { described, type GivenSettings, generateSide } from "./evaluation-images.js";
import { evaluatorIn, shortName } from "./evaluation-measures.js";
import { saveSheets } from "./evaluation-sheets.js";
import { slug } from "./grid-folder.js";
import { downloadModel } from "./models.js";
import { numberOption, seedOption, threadsOption } from "./numbers.js";
import { checkFiles } from "./output-files.js";
import { type Looked, lookAt, textsOf } from "./probe-measures.js";
import { probePage } from "./probe-page.js";
import { groupName, type ProbeReport, probeMarkdown } from "./probe-report.js";
import { ProgressBar, stopOnInterrupt, warn } from "./terminal.js";

type Options = DeviceFlags & {
  model?: string;
  reference?: string;
  limit?: number;
  seeds?: number;
  seed?: bigint;
  steps?: number;
  guidance?: number;
  guidanceScale?: number;
  referenceSteps?: number;
  referenceGuidance?: number;
  width?: number;
  height?: number;
  negative?: string;
  scheduler?: string;
  clip?: string;
  evaluator?: string;
  threads?: number;
  output: string;
  json?: boolean;
  quiet?: boolean;
};

/** With fewer an interval over seeds says little. */
const fewSeeds = 5;

export function probeCommand(): Command {
  const command = new Command("probe")
    .description(
      "Count what a model shows for templates of prompts, alone or beside another; goes on where it was stopped.",
    )
    .argument("<file>", "templates, slots and questions, as YAML or JSON")
    .option("-m, --model <model>", "diffusers folder, single file or Hub id (default: the bundled model)")
    .option("-r, --reference <model>", "another model, with the same prompts and seeds")
    .option("--limit <n>", "at most so many of the prompts, from all of them", numberOption)
    .option("--seeds <n>", "images of each prompt (default: the file's seeds, or 8)", numberOption)
    .option("--seed <n>", "the first of the seeds (default: 0)", seedOption)
    .option("-s, --steps <n>", "denoising steps", numberOption)
    .option("-g, --guidance <scale>", "how closely to follow the prompt", numberOption)
    .addOption(new Option("--guidance-scale <scale>", "the same").argParser(numberOption).hideHelp())
    .option("--reference-steps <n>", "of the reference (default: --steps)", numberOption)
    .option("--reference-guidance <scale>", "of the reference (default: --guidance)", numberOption)
    .option("-W, --width <pixels>", "multiple of 8", numberOption)
    .option("-H, --height <pixels>", "multiple of 8", numberOption)
    .option("-n, --negative <prompt>", "what not to generate")
    .option("--scheduler <name>", "such as dpmpp-2m-karras")
    .option("--clip <folder>", "a CLIP model, which answers the file's questions")
    .option("--evaluator <folder>", "a classifier (default: the model's own folder evaluator)")
    .option("--threads <n>", "default: one per core", threadsOption);
  return withDeviceOptions(command)
    .option("-o, --output <folder>", "where reports and images go", "koala-probe")
    .option("--json", "print the report as JSON")
    .option("-q, --quiet", "no progress, no notes")
    .addHelpText("after", help)
    .action(probe);
}

const help = `
The file:
  templates: ["a photo of a {profession}"]
  slots: { profession: [nurse, engineer, judge] }
  questions:
    seen as: { labels: { woman: a photo of a woman, man: a photo of a man } }

Example:
  koala probe professions.yaml -m ./teacher -r ./student --clip ./clip-vit-large-patch14
`;

async function probe(file: string, options: Options): Promise<void> {
  const { output, quiet = false } = options;
  const say = (line: string) => void (quiet || process.stderr.write(`${dim(line)}\n`));
  const read = await readProbe(file);
  const asked = { ...read, prompts: spread(read.prompts, options.limit) };
  const seeds = options.seeds ?? read.seeds ?? 8;
  checkGiven(asked, { ...options, seeds });
  const folder = await downloadModel(modelOrBundled(options.model), { quiet });
  const reference = options.reference && (await downloadModel(options.reference, { quiet }));
  const evaluator = await evaluatorIn(folder, options.evaluator);
  await checkFiles(["report.md", "report.html", "report.json"].map((name) => path.join(output, name)));
  const warnings = new Set<string>();
  const warned = (line: string) => {
    if (!warnings.has(line)) warn(line);
    warnings.add(line);
  };
  if (seeds < fewSeeds) warned(`seeds: of ${seeds} an interval says little. Take ${fewSeeds} or more`);
  if (evaluator === undefined && options.clip === undefined)
    warned(
      "evaluator: the model has none and no --clip is given, so nothing is counted and there are mean images alone",
    );
  const { signal, done } = stopOnInterrupt((line) => say(`${line}; the same command goes on`));
  const progress = new ProgressBar({ quiet });
  const seed = resolveSeed(options.seed ?? 0n);
  const run = {
    ...{ prompts: asked.prompts, seed, seeds, output, load: options },
    progress,
    signal,
    say,
    warn: warned,
  };
  try {
    const own = await generateSide(folder, given(options), run);
    const size = { width: own.settings.width, height: own.settings.height };
    const other = reference
      ? await generateSide(reference, { ...given(options, true), ...size }, run)
      : undefined;
    const sides = other ? [own, other] : [own];
    const groups = groupsOf(asked.prompts);
    const { looked, accuracy } = await lookAt(sides, asked, groups, { ...options, ...run, evaluator });
    const [first, second] = looked as [Looked, Looked?];
    const report: ProbeReport = {
      ...{ format: 1, app: versions().app, file: path.basename(file) },
      ...described(own, other),
      seeds: Array.from({ length: seeds }, (_, i) => String(seedAfter(seed, i))),
      ...(evaluator !== undefined && { evaluator: { name: shortName(evaluator), accuracy } }),
      ...(options.clip !== undefined && { clip: { name: shortName(options.clip) } }),
      questions: asked.questions,
      groups: groups.map((group) => ({ ...group, mean: meanFile(group.prompts, groupName(group)) })),
      rows: countAnswers(groups, first.answers, second?.answers),
      images: asked.prompts.map((prompt, i) => ({
        ...{ ...prompt, files: own.files[i]!, answers: first.answers[i]! },
        ...(other && { reference: { files: other.files[i]!, answers: second!.answers[i]! } }),
      })),
      warnings: [...warnings],
    };
    await save(report, looked, output);
    process.stdout.write(options.json ? json(report) : `${path.join(output, "report.html")}\n`);
  } finally {
    progress.stop();
    done();
  }
}

/** What is checked before a model is downloaded. */
function checkGiven(
  { prompts, questions }: ProbeFile,
  { seeds, seed, limit = 1, clip }: Options & { seeds: number },
): void {
  if (seed === -1n)
    throw new InvalidRequest("--seed", seed, "must be one that can be repeated, got -1, which draws one.");
  for (const [flag, value] of Object.entries({ "--seeds": seeds, "--limit": limit })) {
    if (Number.isInteger(value) && value > 0) continue;
    throw new InvalidRequest(flag, value, `must be a whole number above 0, got ${value}.`);
  }
  const [name] = Object.keys(questions);
  if (name !== undefined && clip === undefined)
    throw new InvalidRequest(
      "--clip",
      clip,
      `must be a CLIP model for the question "${name}", got none. Add it.`,
    );
  for (const [one, question] of Object.entries(questions))
    if (!prompts.some(({ values }) => textsOf(question, values)))
      throw new InvalidRequest(
        `questions.${one}`,
        question,
        "must have no places that every template lacks.",
      );
}

const given = (options: Options, isReference = false): GivenSettings => {
  const { steps, guidance = options.guidanceScale, width, height, negative, scheduler } = options;
  return {
    steps: isReference ? (options.referenceSteps ?? steps) : steps,
    guidanceScale: isReference ? (options.referenceGuidance ?? guidance) : guidance,
    ...{ width, height, scheduler, negativePrompt: negative },
  };
};

const meanFile = ([first]: readonly number[], name: string): string =>
  path.join("means", `${slug(name)}-${String(first).padStart(4, "0")}.png`);

const json = (report: ProbeReport): string => `${JSON.stringify(report, undefined, 2)}\n`;

async function save(report: ProbeReport, looked: readonly Looked[], output: string): Promise<void> {
  const { model, reference, groups } = report;
  const files = (mean: string) => [mean, ...(reference ? [mean.replace(/\.png$/, "-reference.png")] : [])];
  const means: Uint8Array[][] = [];
  for (const [g, { mean }] of groups.entries()) {
    const encoded = await Promise.all(looked.map((side) => encodeImage(side.means[g]!, "png")));
    for (const [i, name] of files(mean).entries()) await writeWhole(path.join(output, name), encoded[i]!);
    means.push(encoded);
  }
  const sheets = await saveSheets({
    ...{ output, width: looked[0]!.means[0]!.width, height: looked[0]!.means[0]!.height },
    columns: [model.label, ...(reference ? [reference.label] : [])],
    title: `Mean images of ${[model.label, ...(reference ? [reference.label] : [])].join(" and ")}`,
    caption: `${report.seeds.length} seeds of each prompt`,
    rows: groups.map((group) => ({ label: groupName(group), files: files(group.mean) })),
  });
  await writeWhole(path.join(output, "report.json"), json(report));
  await writeWhole(path.join(output, "report.md"), probeMarkdown(report, sheets));
  const small = looked.map((side) => side.small);
  await writeWhole(path.join(output, "report.html"), probePage(report, { means, small }));
}
