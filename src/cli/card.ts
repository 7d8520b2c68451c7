/** @file `koala card`: a model card in the Hub's form, of the model's own files and of what was measured and trained. */

import path from "node:path";
import { Command } from "commander";
import { blockingEngine } from "../engine/ort/blocking-engine.js";
import { InvalidRequest, listed, ModelError } from "../errors.js";
import { kindOf, readJson, readText, writeWhole } from "../files/file-system.js";
import { readModelCard } from "../hub/model-card.js";
import { readMetrics } from "../monitor/metrics.js";
import { hasRun, type Run, readRun } from "../monitor/run.js";
import { type Components, loadComponents } from "../pipeline/components.js";
import { inspectModel } from "../pipeline/inspect.js";
import { modelMetadata } from "../pipeline/metadata/write.js";
import { requestDefaults } from "../pipeline/model-defaults.js";
import { headerOf, hubBase, licenseOf } from "./card-header.js";
import {
  evaluationBlock,
  newBody,
  partsBlock,
  probeBlock,
  trainingBlock,
  unwrittenSections,
} from "./card-sections.js";
import { type Block, type Card, cardText, readCard, withBlock } from "./card-text.js";
import { type Report, reportFromJson } from "./evaluation-report.js";
import { downloadModel } from "./models.js";
import { checkFiles } from "./output-files.js";
import type { ProbeReport } from "./probe-report.js";
import { warn } from "./terminal.js";

type Options = {
  license?: string;
  baseModel?: string;
  name?: string;
  tag?: string[];
  text?: string;
  evaluation?: string[];
  probe?: string[];
  run?: string;
  output?: string;
  force?: boolean;
};

const more = (value: string, before: readonly string[] = []): string[] => [...before, value];

export function cardCommand(): Command {
  return new Command("card")
    .description("Write a model's card in the Hub's form, or print it.")
    .argument("<model>", "diffusers folder or Hub id")
    .option("--license <id>", "default: of its own card, or its base model's")
    .option("--base-model <id>", "on the Hub, or a folder: what it was made from")
    .option("--name <id>", "owner/name on the Hub (default: the folder's name)")
    .option("--tag <name>", "a tag of the header; may be given again", more)
    .option("--text <file>", "a card to go on with (default: the model's own)")
    .option("--evaluation <file>", "report.json of koala evaluate; also again", more)
    .option("--probe <file>", "report.json of koala probe; also again", more)
    .option("--run <folder>", "of its training (default: the model's folder)")
    .option("-o, --output <file>", "where to write it, such as ./mine/README.md")
    .option("--force", "overwrite the output")
    .addHelpText("after", help)
    .action(card);
}

const help = `
Example:
  koala card ./mine --base-model owner/teacher -o ./mine/README.md
`;

async function card(model: string, options: Options): Promise<void> {
  const { output, force = false } = options;
  await checkOutput(output, force);
  const folder = await downloadModel(model);
  if ((await kindOf(folder)) === "file") {
    const rule = `must be a diffusers folder, got the single file "${model}". Make one of it by koala convert.`;
    throw new InvalidRequest("model", model, rule);
  }
  const components = await loadComponents(folder, { engine: blockingEngine() });
  const text = cardText(await written(folder, components, options));
  const missing = unwrittenSections(text);
  if (missing.length > 0) warn(`to be written by you: ${listed(missing)}. Then --text goes on with it`);
  if (output === undefined) return void process.stdout.write(text);
  await writeWhole(output, text);
  process.stdout.write(`${output}\n`);
}

async function checkOutput(output: string | undefined, force: boolean): Promise<void> {
  if (output === undefined) return;
  await checkFiles([output]);
  if (force || (await kindOf(output)) === undefined) return;
  const rule = `must be a new file, got "${output}", which is there. Name another, or add --force.`;
  throw new InvalidRequest("--output", output, rule);
}

async function written(folder: string, components: Components, options: Options): Promise<Card> {
  const { name = path.basename(path.resolve(folder)), tag = [], baseModel, ...given } = options;
  const before = await cardBefore(folder, given.text);
  const { license, from } = await licenseOf({
    folder,
    given: given.license,
    before: before.header,
    baseModel,
  });
  if (from !== undefined)
    warn(`license: ${license.license}, from the card of ${from}. Check that it is yours too`);
  const evaluations = await reports<Report>(given.evaluation ?? [], "evaluation", components);
  const probes = await reports<ProbeReport>(given.probe ?? [], "probe", components);
  const run = await runOf(folder, given.run);
  if (baseModel !== undefined && hubBase(baseModel) === undefined)
    warn(`base_model: has no entry in the header, since "${baseModel}" is no id on the Hub`);
  const { className } = components.folder;
  const defaults = requestDefaults(components, "textToImage");
  const body = before.body || newBody({ name, className, origin: originOf(run?.run), defaults });
  const report = await inspectModel(folder);
  const broken = report.components.find(({ problem }) => problem);
  if (broken) throw new ModelError(broken.component, broken.problem!);
  const classes = [...components.folder.components].map(([key, part]) => [key, part.className] as const);
  const blocks: Block[] = [
    partsBlock(report, new Map(classes)),
    ...(run ? [trainingBlock(run.run, run.metrics)] : []),
    ...(probes.length > 0 ? [probeBlock(probes)] : []),
    ...(evaluations.length > 0 ? [evaluationBlock(evaluations)] : []),
  ];
  return {
    header: headerOf({
      ...{ name, family: components.family, before: before.header, license, tags: tag, evaluations },
      ...{ baseModel: hubBase(baseModel), command: run?.run.command },
    }),
    body: blocks.reduce(withBlock, body),
  };
}

/** The card that is gone on with: the one that is named, else the model's own, else an empty one. */
async function cardBefore(folder: string, given: string | undefined): Promise<Card> {
  if (given !== undefined) return readCard(await readText(given), given);
  return readCard((await readModelCard(folder)) ?? "", path.join(folder, "README.md"));
}

/** What a report must have to be one of this command. */
const marks = { evaluation: "figures", probe: "rows" } as const;

/** Reads reports; ModelError where one is of another command, InvalidRequest where it is of another model. */
async function reports<T extends Report | ProbeReport>(
  files: readonly string[],
  kind: keyof typeof marks,
  components: Components,
): Promise<T[]> {
  const command = kind === "probe" ? "probe" : "evaluate";
  return Promise.all(
    files.map(async (file) => {
      const json = await readJson(file);
      if (json.format !== 1 || !Array.isArray(json[marks[kind]]))
        throw new ModelError(file, `must be report.json of koala ${command}, got another file.`);
      const report = reportFromJson(JSON.stringify(json)) as T;
      await checkModel(report, file, `--${kind}`, components);
      return report;
    }),
  );
}

/** Figures of another model would be published as this one's. */
async function checkModel(
  { model: { model: measured } }: Report | ProbeReport,
  file: string,
  flag: string,
  components: Components,
): Promise<void> {
  const own = await modelMetadata(components);
  if (measured.fingerprint === own.fingerprint) return;
  const got = `${file} of ${measured.name} (${measured.fingerprint.slice(0, 19)})`;
  const rule = `must be of this model (${own.fingerprint.slice(0, 19)}), got ${got}.`;
  throw new InvalidRequest(flag, file, `${rule} Measure the model as it is now.`);
}

async function runOf(folder: string, given: string | undefined) {
  const at = given ?? folder;
  if (given === undefined && !(await hasRun(at))) return undefined;
  return { run: await readRun(at), metrics: await readMetrics(at) };
}

const origins: Readonly<Record<string, (models: Run["models"]) => string>> = {
  distill: ({ teacher }) => `, distilled from ${teacher}`,
  train: ({ model }) => (model === undefined ? "" : `, trained from ${model}`),
};

const originOf = (run: Run | undefined): string => (run && origins[run.command]?.(run.models)) ?? "";
