/** @file `koala probe`: generates the images of templates with slots, and counts what is seen on them. Goes on where it was stopped. */

import path from "node:path";
import { Command } from "commander";
import { seedAfter } from "../diffusion/seed.js";
import { InvalidRequest } from "../errors.js";
import { countAnswers, groupsOf } from "../evaluate/probe-counts.js";
import { type ProbeFile, readProbe } from "../evaluate/probe-file.js";
import { spread } from "../evaluate/read-prompts.js";
import { writeWhole } from "../files/file-system.js";
import { modelOrBundled } from "../hub/bundled-models.js";
import { encodeImage } from "../image/codec.js";
import { versions } from "../pipeline/metadata/versions.js";
import {
  type ComparisonFlags,
  checkCounts,
  compared,
  referenceFolder,
  Warnings,
  withComparisonFlags,
} from "./comparison.js";
import { withDeviceOptions } from "./device.js";
import { described } from "./evaluation-images.js";
import { evaluatorIn, shortName } from "./evaluation-measures.js";
import { saveSheets } from "./evaluation-sheets.js";
import { slug } from "./grid-folder.js";
import { downloadModel } from "./models.js";
import { numberOption } from "./numbers.js";
import { checkFiles } from "./output-files.js";
import { type Looked, lookAt, textsOf } from "./probe-measures.js";
import { probePage } from "./probe-page.js";
import { groupName, type ProbeReport, probeMarkdown } from "./probe-report.js";

type Options = ComparisonFlags & { model?: string; clip?: string };

/** With fewer an interval over seeds says little. */
const fewSeeds = 5;

export function probeCommand(): Command {
  const command = new Command("probe")
    .description(
      "Count what a model shows for templates of prompts, alone or beside another; goes on where it was stopped.",
    )
    .argument("<file>", "templates, slots and questions, as YAML or JSON")
    .option("-m, --model <model>", "diffusers folder, single file or Hub id (default: the bundled model)")
    .option("--limit <n>", "at most so many of the prompts, from all of them", numberOption)
    .option("--seeds <n>", "images of each prompt (default: the file's seeds, or 8)", numberOption)
    .option("--clip <folder>", "a CLIP model, which answers the file's questions");
  return withDeviceOptions(withComparisonFlags(command))
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
  const read = await readProbe(file);
  const asked = { ...read, prompts: spread(read.prompts, options.limit) };
  const seeds = options.seeds ?? read.seeds ?? 8;
  checkCounts({ ...options, seeds });
  checkGiven(asked, options);
  const folder = await downloadModel(modelOrBundled(options.model), { quiet });
  const reference = await referenceFolder(options);
  const evaluator = await evaluatorIn(folder, options.evaluator);
  await checkFiles(["report.md", "report.html", "report.json"].map((name) => path.join(output, name)));
  const warnings = new Warnings();
  if (seeds < fewSeeds) warnings.add(`seeds: of ${seeds} an interval says little. Take ${fewSeeds} or more`);
  if (evaluator === undefined && options.clip === undefined)
    warnings.add(
      "evaluator: the model has none and no --clip is given, so nothing is counted and there are mean images alone",
    );
  const { prompts } = asked;
  await compared({ folder, reference }, options, { prompts, seeds, warnings }, async (own, other, run) => {
    const sides = other ? [own, other] : [own];
    const groups = groupsOf(prompts);
    const { looked, accuracy } = await lookAt(sides, asked, groups, { ...options, ...run, evaluator });
    const [first, second] = looked as [Looked, Looked?];
    const report: ProbeReport = {
      ...{ format: 1, app: versions().app, file: path.basename(file) },
      ...described(own, other),
      seeds: Array.from({ length: seeds }, (_, i) => String(seedAfter(run.seed, i))),
      ...(evaluator !== undefined && { evaluator: { name: shortName(evaluator), accuracy } }),
      ...(options.clip !== undefined && { clip: { name: shortName(options.clip) } }),
      questions: asked.questions,
      groups: groups.map((group) => ({ ...group, mean: meanFile(group.prompts, groupName(group)) })),
      rows: countAnswers(groups, first.answers, second?.answers),
      images: prompts.map((prompt, i) => ({
        ...{ ...prompt, files: own.files[i]!, answers: first.answers[i]! },
        ...(other && { reference: { files: other.files[i]!, answers: second!.answers[i]! } }),
      })),
      warnings: [...warnings.all],
    };
    await save(report, looked, output);
    process.stdout.write(options.json ? json(report) : `${path.join(output, "report.html")}\n`);
  });
}

/** What is checked before a model is downloaded. */
function checkGiven({ prompts, questions }: ProbeFile, { clip }: Options): void {
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
