/** @file `koala evaluate`: measures a model by its images of many prompts, alone or beside another. Goes on where it was stopped. */

import path from "node:path";
import { Command, Option } from "commander";
import { seedAfter } from "../diffusion/seed.js";
import { InvalidRequest } from "../errors.js";
import { type EvaluationPrompt, type PromptSet, promptSets, promptsOfSet } from "../evaluate/prompt-sets.js";
import { readPrompts, spread } from "../evaluate/read-prompts.js";
import { kindOf, writeWhole } from "../files/file-system.js";
import { modelOrBundled } from "../hub/bundled-models.js";
import { versions } from "../pipeline/metadata/versions.js";
import { readVocabulary } from "../pipeline/read-vocabulary.js";
import {
  type ComparisonFlags,
  checkCounts,
  compared,
  referenceFolder,
  Warnings,
  withComparisonFlags,
} from "./comparison.js";
import { withDeviceOptions } from "./device.js";
import { described, type Side } from "./evaluation-images.js";
import { evaluatorIn, measureSides } from "./evaluation-measures.js";
import { type Report, reportJson, reportMarkdown } from "./evaluation-report.js";
import { saveSheets } from "./evaluation-sheets.js";
import { downloadModel } from "./models.js";
import { numberOption } from "./numbers.js";
import { checkFiles } from "./output-files.js";

type Options = ComparisonFlags & {
  prompts?: string;
  promptSet?: PromptSet;
  seeds: number;
  clip?: string;
  images?: string;
};

export function evaluateCommand(): Command {
  const command = new Command("evaluate")
    .description(
      "Measure a model by its images of many prompts, alone or beside another; goes on where it was stopped.",
    )
    .argument("[model]", "diffusers folder, single file or Hub id (default: the bundled model)")
    .option("-p, --prompts <file>", "a prompt per line; .tsv as PartiPrompts, .jsonl as GenEval")
    .addOption(new Option("--prompt-set <name>", "prompts that come with this command").choices(promptSets))
    .option("--limit <n>", "at most so many of the prompts, from all over the file", numberOption)
    .option("--seeds <n>", "images of each prompt", numberOption, 2)
    .option("--clip <folder>", "a CLIP model: its score of image and prompt (HPSv2: its HPS)")
    .option("--images <folder>", "images to compare with by the Fréchet distance of CLIP features");
  return withDeviceOptions(withComparisonFlags(command))
    .option("-o, --output <folder>", "where report, sheets and images go", "koala-evaluation")
    .option("--json", "print the report as JSON")
    .option("-q, --quiet", "no progress, no notes")
    .addHelpText("after", help)
    .action(evaluate);
}

const help = `
Prompt sets: complex (attributes, positions and numbers of objects), text (words in images), vocabulary (all nouns in
all styles of a model with words.json, which is taken where no prompts are given).

Example:
  koala evaluate ./koala-lightning-700m -r ./koala-lightning-1b --prompt-set complex --clip ./clip-vit-large-patch14
`;

async function evaluate(model: string | undefined, options: Options): Promise<void> {
  const { output, quiet = false } = options;
  checkCounts(options);
  checkGiven(options);
  const folder = await downloadModel(modelOrBundled(model), { quiet });
  const reference = await referenceFolder(options);
  const { prompts, source } = await promptsOf(folder, options);
  await checkFiles(["report.md", "report.json"].map((name) => path.join(output, name)));
  const warnings = new Warnings();
  const asked = { prompts, seeds: options.seeds, warnings };
  await compared({ folder, reference }, options, asked, async (own, other, run) => {
    const sides = described(own, other);
    const measured = await measureSides([own, other], await evaluatorIn(folder, options.evaluator), {
      ...options,
      ...run,
      labels: [sides.model.label, sides.reference?.label ?? ""],
    });
    const report: Report = {
      ...{ format: 1, app: versions().app },
      ...sides,
      prompts: { source, count: prompts.length },
      seeds: Array.from({ length: options.seeds }, (_, i) => String(seedAfter(run.seed, i))),
      ...measured,
      warnings: [...warnings.all, ...measured.warnings],
    };
    await save(report, own, output);
    process.stdout.write(options.json ? reportJson(report) : `${path.join(output, "report.md")}\n`);
  });
}

/** What is checked before a model is downloaded. */
function checkGiven({ images, clip, prompts, promptSet }: Options): void {
  if (images !== undefined && clip === undefined)
    throw new InvalidRequest("--images", images, "is compared by CLIP features, got no --clip. Add it.");
  if (prompts !== undefined && promptSet !== undefined)
    throw new InvalidRequest("--prompt-set", promptSet, "must be left out beside --prompts.");
}

async function promptsOf(folder: string, { prompts: file, promptSet, limit }: Options) {
  const set = promptSet ?? "vocabulary";
  const words = (await kindOf(folder)) === "folder" ? await readVocabulary(folder) : undefined;
  const all = file === undefined ? promptsOfSet(set, words) : await readPrompts(file);
  if (all === undefined) {
    const rule = `must be a file of prompts, got none, and ${path.basename(folder)} lists no words of its own`;
    throw new InvalidRequest("--prompts", file, `${rule}. Add it, or --prompt-set complex.`);
  }
  const prompts: EvaluationPrompt[] = spread(all, limit);
  const whole = file === undefined ? `the set ${set}` : path.basename(file);
  return { prompts, source: prompts.length < all.length ? `${whole}, of ${all.length}` : whole };
}

async function save(report: Report, own: Side, output: string): Promise<void> {
  const { model, reference, seeds, images } = report;
  const { width, height, steps, guidanceScale } = own.settings;
  const labels = [model, reference].flatMap((side) => (side ? [side.label] : []));
  const sheets = await saveSheets({
    ...{ output, width, height },
    columns: labels.flatMap((label) =>
      seeds.map((seed) => (reference ? `${label}, seed ${seed}` : `seed ${seed}`)),
    ),
    title: labels.join(" and "),
    caption: reference ? "" : `${steps} steps, guidance ${guidanceScale}`,
    rows: images.map(({ prompt, files, reference: others = [], measures: { allRight } }) => {
      const right = allRight && `${allRight.filter((x) => x === 100).length} of ${allRight.length} right`;
      return { label: right ? `${prompt} (${right})` : prompt, files: [...files, ...others] };
    }),
  });
  await writeWhole(path.join(output, "report.json"), reportJson(report));
  await writeWhole(path.join(output, "report.md"), reportMarkdown(report, sheets));
}
