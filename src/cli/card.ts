/** @file `koala card`: a model card in the Hub's form, of the model's own files and of what was measured and trained. */

import path from "node:path";
import { Command } from "commander";
import { blockingEngine } from "../engine/ort/blocking-engine.js";
import { InvalidRequest, listed, ModelError } from "../errors.js";
import { kindOf, readJson, readText, writeWhole } from "../files/file-system.js";
import { modelOrBundled } from "../hub/bundled-models.js";
import { readModelCard } from "../hub/model-card.js";
import { readMetrics } from "../monitor/metrics.js";
import { hasRun, type Run, readRun } from "../monitor/run.js";
import { loadComponents, loadNetworks, type Networks } from "../pipeline/components.js";
import { inspectModel, type ModelReport } from "../pipeline/inspect.js";
import { modelMetadata } from "../pipeline/metadata/write.js";
import { requestDefaults } from "../pipeline/model-defaults.js";
import { resolveWeights } from "../weights/component.js";
import { additionKind } from "../weights/file-kind.js";
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
import { type SingleFileFlags, singleFileFlags, withSingleFileFlags } from "./single-file.js";
import { warn } from "./terminal.js";

type Options = SingleFileFlags & {
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
  const command = new Command("card")
    .description("Write a model's card in the Hub's form, or print it.")
    .argument("[model]", "diffusers folder, single file or Hub id (default: the bundled model)")
    .option("--license <id>", "default: of its own card, or its base model's")
    .option("--base-model <id>", "on the Hub, or a folder: what it was made from")
    .option("--name <id>", "owner/name on the Hub (default: the folder's or file's name)")
    .option("--tag <name>", "a tag of the header; may be given again", more)
    .option("--text <file>", "a card to go on with (default: README.md in the model's folder)")
    .option("--evaluation <file>", "report.json of koala evaluate; also again", more)
    .option("--probe <file>", "report.json of koala probe; also again", more)
    .option("--run <folder>", "of its training (default: the model's folder)")
    .option("-o, --output <file>", "where to write it, such as ./mine/README.md")
    .option("--force", "overwrite the output")
    .addHelpText("after", help)
    .action(card);
  return withSingleFileFlags(command);
}

const help = `
Examples:
  koala card ./mine --base-model owner/teacher -o ./mine/README.md
  koala card ./dreams.safetensors --base-model owner/base -o ./README.md
`;

async function card(model: string | undefined, options: Options): Promise<void> {
  const { output, force = false } = options;
  await checkOutput(output, force);
  const subject = await subjectOf(await downloadModel(modelOrBundled(model, "model")), options);
  const text = cardText(await written(subject, options));
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

/** The model that a card is of. */
type Subject = {
  path: string;
  isFile: boolean;
  /** Where its LICENSE is. */
  folder: string;
  report: ModelReport;
  networks: Networks;
  /** As images record it. */
  fingerprint(): Promise<string>;
};

async function subjectOf(model: string, options: Options): Promise<Subject> {
  const isFile = (await kindOf(model)) === "file";
  if (isFile) await refuseAddition(model);
  const flags = singleFileFlags(options);
  const load = { engine: blockingEngine(), ...flags };
  if (flags.config !== undefined) load.config = await downloadModel(flags.config, { configsOnly: true });
  const networks = await loadNetworks(model, load);
  const { tokenizer: _, ...inspected } = flags;
  const report = await inspectModel(model, { ...inspected, ...(load.config && { config: load.config }) });
  const broken = report.components.find(({ problem }) => problem);
  if (broken) throw new ModelError(broken.component, broken.problem!);
  const fingerprint = async () => (await modelMetadata(await loadComponents(model, load))).fingerprint;
  return { path: model, isFile, folder: isFile ? path.dirname(model) : model, report, networks, fingerprint };
}

/** An adapter or a textual inversion alone generates nothing that a card could count or show. */
async function refuseAddition(file: string): Promise<void> {
  const addition = additionKind([...(await resolveWeights(file)).tensors.keys()]);
  if (!addition) return;
  const remedy =
    addition.flag === "--lora"
      ? `Write that of a model with it merged: koala convert MODEL FOLDER --lora ${file}; --run takes its training.`
      : "Write that of the model it belongs to.";
  throw new InvalidRequest("model", file, `must be a whole model, got ${addition.what}. ${remedy}`);
}

async function written(subject: Subject, options: Options): Promise<Card> {
  const { folder, isFile, networks, report } = subject;
  const own = path.basename(path.resolve(subject.path));
  const { name = isFile ? own.replace(/\.[^.]+$/, "") : own, tag = [], baseModel, ...given } = options;
  const before = await cardBefore(subject, given.text);
  const { license, from } = await licenseOf({
    folder,
    given: given.license,
    before: before.header,
    baseModel,
  });
  if (from !== undefined)
    warn(`license: ${license.license}, from the card of ${from}. Check that it is yours too`);
  const evaluations = await reports<Report>(given.evaluation ?? [], "evaluation", subject);
  const probes = await reports<ProbeReport>(given.probe ?? [], "probe", subject);
  const run = await runOf(isFile ? undefined : folder, given.run);
  if (baseModel !== undefined && hubBase(baseModel) === undefined)
    warn(`base_model: has no entry in the header, since "${baseModel}" is no id on the Hub`);
  const { className } = networks.folder;
  const defaults = requestDefaults(networks, "textToImage");
  const origin = originOf(run?.run);
  const body = before.body || newBody({ name, className, origin, defaults, ...(isFile && { file: own }) });
  const classes = [...networks.folder.components].map(([key, part]) => [key, part.className] as const);
  const blocks: Block[] = [
    partsBlock(report, new Map(classes)),
    ...(run ? [trainingBlock(run.run, run.metrics)] : []),
    ...(probes.length > 0 ? [probeBlock(probes)] : []),
    ...(evaluations.length > 0 ? [evaluationBlock(evaluations)] : []),
  ];
  return {
    header: headerOf({
      ...{ name, family: networks.family, before: before.header, license, tags: tag, evaluations },
      ...{ baseModel: hubBase(baseModel), command: run?.run.command },
    }),
    body: blocks.reduce(withBlock, body),
  };
}

/**
 * The card that is gone on with: the one that is named, else the model's own, else an empty one. What lies beside a single
 * file may be another model's.
 */
async function cardBefore({ folder, isFile }: Subject, given: string | undefined): Promise<Card> {
  if (given !== undefined) return readCard(await readText(given), given);
  const own = isFile ? undefined : await readModelCard(folder);
  return readCard(own ?? "", path.join(folder, "README.md"));
}

/** What a report must have to be one of this command. */
const marks = { evaluation: "figures", probe: "rows" } as const;

/** Reads reports; ModelError where one is of another command, InvalidRequest where it is of another model. */
async function reports<T extends Report | ProbeReport>(
  files: readonly string[],
  kind: keyof typeof marks,
  subject: Subject,
): Promise<T[]> {
  const command = kind === "probe" ? "probe" : "evaluate";
  return Promise.all(
    files.map(async (file) => {
      const json = await readJson(file);
      if (json.format !== 1 || !Array.isArray(json[marks[kind]]))
        throw new ModelError(file, `must be report.json of koala ${command}, got another file.`);
      const report = reportFromJson(JSON.stringify(json)) as T;
      checkModel(report, file, `--${kind}`, await subject.fingerprint());
      return report;
    }),
  );
}

/** Figures of another model would be published as this one's. */
function checkModel(
  { model: { model: measured } }: Report | ProbeReport,
  file: string,
  flag: string,
  own: string,
): void {
  if (measured.fingerprint === own) return;
  const got = `${file} of ${measured.name} (${measured.fingerprint.slice(0, 19)})`;
  const rule = `must be of this model (${own.slice(0, 19)}), got ${got}.`;
  throw new InvalidRequest(flag, file, `${rule} Measure the model as it is now.`);
}

async function runOf(folder: string | undefined, given: string | undefined) {
  const at = given ?? folder;
  if (at === undefined || (given === undefined && !(await hasRun(at)))) return undefined;
  return { run: await readRun(at), metrics: await readMetrics(at) };
}

const origins: Readonly<Record<string, (models: Run["models"]) => string>> = {
  distill: ({ teacher }) => `, distilled from ${teacher}`,
  train: ({ model }) => (model === undefined ? "" : `, trained from ${model}`),
};

const originOf = (run: Run | undefined): string => (run && origins[run.command]?.(run.models)) ?? "";
