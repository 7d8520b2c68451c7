/** @file `koala explain`: where each word of a prompt went, step by step and layer by layer, beside another model. */

import path from "node:path";
import { Command, Option } from "commander";
import { resolveSeed } from "../diffusion/seed.js";
import { InvalidRequest } from "../errors.js";
import { kindOf, makeFolder } from "../files/file-system.js";
import { checkWritable } from "../files/writable.js";
import { readRequest, type SavedRequest } from "../pipeline/metadata/read.js";
import { DiffusionPipeline } from "../pipeline/pipeline.js";
import type { GenerateRequest } from "../pipeline/request.js";
import { dim } from "./colors.js";
import { deviceFlags, withDeviceOptions } from "./device.js";
import { writeBeside, writeRun } from "./explain-files.js";
import { type ExplainedRun, explainedRun } from "./explain-run.js";
import { beginsWithAnother, placeNotes, placeOf, sourcesOf } from "./from-image.js";
import { type Options as GenerateOptions, opened, savedRequest, setScheduler, settings } from "./generate.js";
import { loraOption } from "./lora.js";
import { downloadComponents, downloadModel } from "./models.js";
import { numberOption, seedOption, threadsOption } from "./numbers.js";
import { gatherPrompts } from "./prompt-lines.js";
import { promptReading } from "./prompt-options.js";
import { withSafetyOptions } from "./safety.js";
import { withSingleFileFlags } from "./single-file.js";
import { ProgressBar, stopOnInterrupt, warn } from "./terminal.js";

type Options = GenerateOptions & {
  beside?: string;
  perStep?: boolean;
  perLayer?: boolean;
  midBlock?: boolean;
};

export function explainCommand(): Command {
  const command = new Command("explain")
    .description("Show where each word of a prompt went: heat maps over the image, and their numbers.")
    .argument("[prompt]", "what to generate")
    .option("-m, --model <model>", "diffusers folder, single file or Hub id (default: the bundled model)")
    .option("--beside <model>", "run another model too, from the same seed, and compare each step")
    .option("--from <image>", "explain the image that koala generated")
    .option("--per-step", "what each step predicts of the clean image, and its maps")
    .option("--per-layer", "each layer's maps")
    .option("--mid-block", "count the middle block's layers too")
    .option("--revision <name>", "branch, tag or commit of a Hub id")
    .option("--variant <name>", "weight files to take, such as fp16")
    .option("--vae <path>", "another autoencoder: folder, file, name on the Hub, or tiny")
    .option("--unet <path>", "another U-Net: the same")
    .option("--lora <path[:scale]>", "add a LoRA: the same; may be given again", loraOption)
    .option("-n, --negative <prompt>", "what not to generate")
    .option("-s, --steps <n>", "denoising steps", numberOption)
    .option("-g, --guidance <scale>", "how closely to follow the prompt", numberOption)
    .option("--image <file>", "begin with this image")
    .option("--mask <file>", "generate --image anew where this is white, or opaque")
    .option("--strength <n>", "how far to leave --image, 0 to 1", numberOption)
    .option("-W, --width <pixels>", "multiple of 8", numberOption)
    .option("-H, --height <pixels>", "the same", numberOption)
    .option("--seed <n>", "-1, the default, draws one", seedOption)
    .option("--scheduler <name>", 'such as dpmpp-2m-karras; "?" lists all')
    .addOption(new Option("--rng <kind>", "noise of PyTorch on").choices(["cpu", "cuda"]))
    .option("--threads <n>", "default: one per core", threadsOption);
  return withSafetyOptions(withDeviceOptions(withSingleFileFlags(command)))
    .option("-o, --output <folder>", "where to write; made if need be (default: koala-explain-SEED)")
    .option("--no-metadata", "leave out of the image what it was generated from")
    .option("--ignore-memory", "generate though it may not fit")
    .option("-q, --quiet", "no progress, no notes")
    .addHelpText(
      "after",
      "\nWrites image.png, a heat map for each word, words.png with all of them, attention.json and\n" +
        "attention.safetensors. See docs/guides/explain.md.\n" +
        '\nExamples:\n  koala explain "a red apple, flat icon" --seed 7\n' +
        "  koala explain --from apple.png --per-step --per-layer\n" +
        '  koala explain "a red apple, flat icon" -m ./teacher --beside ./student\n',
    )
    .action(explain);
}

async function explain(word: string | undefined, flags: Options): Promise<void> {
  const given: Options = { ...flags, count: 1 };
  const say = (line: string) => void (given.quiet || process.stderr.write(`${line}\n`));
  const saved = given.from === undefined ? undefined : await readRequest(given.from);
  for (const note of saved?.notes ?? []) say(dim(note));
  const [prompt] = await gatherPrompts(word === undefined ? [] : [word], undefined, saved?.request.prompt);
  const wanted = { ...(saved?.request.safety && { safety: saved.request.safety }), ...given };
  const completed: Options = saved ? { ...wanted, ...(await sourcesOf(saved, given, say)) } : wanted;
  const parts = await downloadComponents(completed, { quiet: given.quiet === true });
  const place = { ...deviceFlags(given), ...(saved && (await placeOf(saved, given, say))) };
  const options: Options = { ...completed, ...parts, ...place };
  const { signal, done } = stopOnInterrupt(say);
  const progress = new ProgressBar({ quiet: given.quiet === true });
  const seed = resolveSeed(given.seed ?? saved?.request.seed);
  try {
    const folder = await outputFolder(given.output ?? `koala-explain-${seed}`);
    const other = await besideFolder(given);
    const { pipeline } = await opened(options, given, saved, say);
    const runs: ExplainedRun[] = [];
    let request: GenerateRequest;
    const how = { perStep: given.perStep === true || given.beside !== undefined, progress };
    try {
      for (const note of placeNotes(pipeline, place, saved)) say(dim(note));
      const chosen = await requestOf(pipeline, options, given, { saved, reworded: word !== undefined });
      request = { ...chosen, prompt: prompt!, seed, signal };
      say(`seed ${seed}`);
      runs.push(await explainedRun(pipeline, request, how));
    } finally {
      await pipeline.close();
    }
    if (other !== undefined)
      runs.push(await besideRun(other, { ...request, ...sizeOf(runs[0]!) }, options, how));
    if (runs[0]!.maps.words.length === 0) warn("the prompt has no words, so there are no heat maps");
    await writeAll(folder, runs, given);
  } finally {
    progress.stop();
    done();
  }
}

/** As `koala generate` would ask it. */
async function requestOf(
  pipeline: DiffusionPipeline,
  options: Options,
  given: Options,
  { saved, reworded }: { saved: SavedRequest | undefined; reworded: boolean },
): Promise<Omit<GenerateRequest, "prompt">> {
  const resized = saved !== undefined && (await beginsWithAnother(saved, given));
  const before = saved ? savedRequest(saved, options, { reworded, resized }) : {};
  const reading = await promptReading(options, saved?.exact ? before : undefined);
  setScheduler(pipeline, options, saved);
  return settings(pipeline, options, { ...before, ...reading }, saved?.exact === true).request;
}

const sizeOf = ({ image: { width, height } }: ExplainedRun) => ({ width, height });

/** Asked for before anything is generated, which may take long. */
async function besideFolder({ beside, quiet = false }: Options): Promise<string | undefined> {
  if (beside === undefined) return undefined;
  return downloadModel(beside, { quiet }).catch((error) => {
    if (!(error instanceof InvalidRequest)) throw error;
    throw new InvalidRequest("--beside", beside, error.rule);
  });
}

/** The second model's run of the first one's request, with the first one's steps and guidance. */
async function besideRun(
  folder: string,
  request: GenerateRequest,
  options: Options,
  how: Parameters<typeof explainedRun>[2],
): Promise<ExplainedRun> {
  const { threads } = options;
  const load = { ...deviceFlags(options), ...(threads !== undefined && { threads }) };
  const pipeline = await DiffusionPipeline.fromPretrained(folder, load);
  try {
    setScheduler(pipeline, options);
    return await explainedRun(pipeline, request, how);
  } finally {
    await pipeline.close();
  }
}

async function writeAll(folder: string, runs: readonly ExplainedRun[], given: Options): Promise<void> {
  const { perLayer = false, midBlock = false, metadata } = given;
  const [first, second] = runs as [ExplainedRun, ExplainedRun?];
  const write = (to: string, run: ExplainedRun) => writeRun(to, run, { perLayer, midBlock, metadata });
  const files = await write(folder, first);
  if (second) {
    const [a, b] = [first, second].map(
      ({ maps }) => `${maps.width}x${maps.height} of ${maps.words.length} words`,
    );
    if (a !== b) {
      const rule = `must have maps of the first model's size and words, ${a}, got ${b}.`;
      throw new InvalidRequest("--beside", given.beside, rule);
    }
    files.push(...(await write(await outputFolder(path.join(folder, "beside")), second)));
    files.push(...(await writeBeside(folder, first, second)));
  }
  for (const file of files) process.stdout.write(`${file}\n`);
}

/** Makes the folder, and checks that files can be written there. */
async function outputFolder(folder: string): Promise<string> {
  if ((await kindOf(folder)) === "file")
    throw new InvalidRequest("--output", folder, `must be a folder, got the file ${folder}.`);
  await makeFolder(folder);
  await checkWritable(folder);
  return folder;
}
