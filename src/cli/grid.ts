/** @file `koala grid`: two settings vary, a table of images shows what they do. Goes on where it was stopped. */

import path from "node:path";
import { Command, InvalidArgumentError } from "commander";
import { resolveSeed, seedPattern } from "../diffusion/seed.js";
import { kindOf, readFile } from "../files/file-system.js";
import { type Axes, cellSettings, cellsOf, checkAxes, parseAxis } from "../grid/axes.js";
import { modelOrBundled } from "../hub/bundled-models.js";
import { decodeImage } from "../image/codec.js";
import { decodeMask } from "../image/mask.js";
import {
  kindDefaults,
  type ModelRegistry,
  modelNamed,
  type NamedLora,
  openModelRegistry,
} from "../jobs/model-registry.js";
import { findPlaces } from "../jobs/placements.js";
import type { Source } from "../jobs/sent-images.js";
import type { Embedding } from "../pipeline/embeddings.js";
import type { ModelMetadata } from "../pipeline/metadata/schema.js";
import { DiffusionPipeline } from "../pipeline/pipeline.js";
import { filesOfTags } from "../pipeline/prompt-loras.js";
import { requestKind } from "../pipeline/request-kind.js";
import { takeLoras } from "../text/a1111/extra-networks.js";
import { dim } from "./colors.js";
import { type DeviceFlags, deviceFlags, notePlace, withDeviceOptions } from "./device.js";
import { embeddingOption } from "./embedding.js";
import { type GridRequest, generateCells, placed, saveSheet } from "./grid-cells.js";
import { isWholeCell, seedBefore, sheetName, writeManifest } from "./grid-folder.js";
import { downloadComponents, downloadModel } from "./models.js";
import { numberOption, threadsOption } from "./numbers.js";
import { checkFiles } from "./output-files.js";
import { type PromptOptions, promptReading, withPromptOptions } from "./prompt-options.js";
import { noteSafety, type SafetyFlags, servedSafety, withSafetyOptions } from "./safety.js";
import { type SingleFileFlags, servedFileFlags, withConfigFlags } from "./single-file.js";
import { warn } from "./terminal.js";

type Options = SingleFileFlags &
  DeviceFlags &
  PromptOptions &
  SafetyFlags & {
    model?: string;
    embedding?: Embedding[];
    x: string;
    y?: string;
    negative?: string;
    steps?: number;
    guidance?: number;
    width?: number;
    height?: number;
    seed?: string;
    scheduler?: string;
    image?: string;
    mask?: string;
    strength?: number;
    threads?: number;
    output: string;
    json?: boolean;
    quiet?: boolean;
  };

export function gridCommand(): Command {
  const command = new Command("grid")
    .description("Vary two settings and generate the table of images; goes on where it was stopped.")
    .argument("<prompt>", "what to generate")
    .option("-m, --model <model>", "diffusers folder, single file or Hub id (default: the bundled model)")
    .option(
      "--embedding <[name=]path>",
      "a textual inversion that prompts may name: file, folder or name on the Hub; may be given again",
      embeddingOption,
    )
    .requiredOption("-x, --x <setting=values>", "what varies across")
    .option("-y, --y <setting=values>", "what varies down")
    .option("-n, --negative <prompt>", "what not to generate")
    .option("-s, --steps <n>", "denoising steps", numberOption)
    .option("-g, --guidance <scale>", "how closely to follow the prompt", numberOption)
    .option("-W, --width <pixels>", "multiple of 8", numberOption)
    .option("-H, --height <pixels>", "multiple of 8", numberOption)
    .option("--seed <n>", "of all cells; -1, the default, draws one", seedText)
    .option("--scheduler <name>", "such as dpmpp-2m-karras")
    .option("--image <file>", "begin with this image")
    .option("--mask <file>", "generate --image anew where this is white, or opaque")
    .option("--strength <n>", "how far to leave --image, 0 to 1", numberOption)
    .option("--threads <n>", "default: one per core", threadsOption);
  withSafetyOptions(withDeviceOptions(command))
    .option("-o, --output <folder>", "where cells and sheet go", "koala-grid")
    .option("--json", "print a JSON object per cell")
    .option("-q, --quiet", "no progress, no notes")
    .addHelpText("after", help)
    .action(grid);
  return withPromptOptions(withConfigFlags(command));
}

const help = `
Settings that vary: prompt, seed, steps, guidance, scheduler. Ranges count: seed=1-6, steps=4-20+4.
For prompt, the first words are found in the prompt and replaced by each of the others. "prompt={red|blue}" stands for
these braces in the prompt, and with --wildcards prompt=__color__ for each line of color.txt.

Example:
  koala grid -m ./koala-lightning-1b "a red bicycle" -x prompt=red,blue,green -y guidance=1,3.5,7
`;

/** As text, since a seed may be beyond 2^53. */
function seedText(value: string): string {
  if (!seedPattern.test(value)) throw new InvalidArgumentError(`"${value}" is not a whole number.`);
  return value;
}

async function grid(prompt: string, options: Options): Promise<void> {
  const { output, quiet = false, y } = options;
  const say = (line: string) => void (quiet || process.stderr.write(`${dim(line)}\n`));
  const reading = await promptReading(options);
  const axis = (name: string, text: string) => parseAxis(name, text, reading.wildcards);
  const axes: Axes = { x: axis("x", options.x), ...(y !== undefined && { y: axis("y", y) }) };
  const safety = await servedSafety({
    ...(options.safety && { safety: { "": options.safety } }),
    ...(options.safetyChecker !== undefined && { safetyChecker: options.safetyChecker }),
  });
  const safetyChecker = safety.safety !== "off";
  const folder = await downloadModel(modelOrBundled(options.model), { quiet, safetyChecker });
  const load = await servedFileFlags(options, quiet);
  const loras = await lorasOf(prompt, axes, options);
  const { embedding: embeddings = [] } = await downloadComponents(
    { embedding: options.embedding ?? [] },
    { quiet },
  );
  const places = await findPlaces(deviceFlags(options), (place) => notePlace(place, say, warn));
  const models = await openModelRegistry([folder], {
    ...{ loras, embeddings, load, placements: places, safety },
  });
  const { info } = modelNamed(models, undefined);
  const { loras: files = [], ...model } = await recordOf(folder, { ...load, loras, embeddings });
  const loraHashes = new Map(files.map(({ sha256 }, i) => [loras[i]!.name, sha256]));
  const before = await seedBefore(output, prompt, model);
  const seed = String(resolveSeed(BigInt(options.seed ?? before ?? -1)));
  const base = { ...(await requestOf(prompt, options, seed, models)), ...gridReading(reading) };
  checkAxes(axes, base);
  const cells = placed(base, axes, models, { model, loraHashes });
  await checkFiles([sheetName, ...cells.map(({ file }) => file)].map((file) => path.join(output, file)));
  noteSafety([info], say);
  await writeManifest(output, {
    format: 1,
    prompt,
    seed,
    model,
    device: info.device ?? "cpu",
    dtype: info.dtype ?? "float32",
    weights: info.weights,
    axes,
    cells: cells.map(({ column, row, file, request }) => ({ column, row, file, settings: request.settings })),
  });
  const missing: typeof cells = [];
  for (const cell of cells)
    if (!(await isWholeCell(path.join(output, cell.file), cell.request.settings))) missing.push(cell);
  say(
    `${cells.length} cells, seed ${seed}${missing.length < cells.length ? `; ${missing.length} left to generate` : ""}`,
  );
  await generateCells(missing, models, options, say);
  await saveSheet(output, base, axes, cells);
  for (const { column, row, file, request } of options.json ? cells : []) {
    const line = { path: path.join(output, file), column, row, ...request.settings };
    process.stdout.write(`${JSON.stringify(line)}\n`);
  }
  if (!options.json) process.stdout.write(`${path.join(output, sheetName)}\n`);
}

/** Wildcards that only an axis takes are not the request's. */
const gridReading = ({ wildcards, ...reading }: Awaited<ReturnType<typeof promptReading>>) => ({
  ...reading,
  ...(reading.dynamicPrompts && wildcards && { wildcards }),
});

/** The LoRAs that the prompts of all cells name, each once; a cell's prompt says its scale. */
async function lorasOf(prompt: string, axes: Axes, options: Options): Promise<NamedLora[]> {
  if (options.promptSyntax !== "a1111") return [];
  const prompts = cellsOf(axes).map((cell) => cellSettings({ prompt }, axes, cell).prompt);
  const tags = new Map(
    prompts.flatMap((one) => takeLoras(one).loras.map(({ name }) => [name, { name, scale: 1 }] as const)),
  );
  const files = await filesOfTags([...tags.values()], options.loraFolder);
  return [...tags.keys()].map((name, i) => ({ name, ...files[i]! }));
}

async function recordOf(
  folder: string,
  { loras, embeddings, ...load }: SingleFileFlags & { loras: NamedLora[]; embeddings: Embedding[] },
): Promise<ModelMetadata> {
  const own = {
    ...((await kindOf(folder)) === "file" && load),
    ...(loras.length > 0 && { loras: loras.map(({ file, scale }) => ({ file, scale })) }),
    ...(embeddings.length > 0 && { embeddings }),
  };
  const pipeline = await DiffusionPipeline.fromPretrained(folder, own);
  try {
    return await pipeline.model();
  } finally {
    await pipeline.close();
  }
}

async function requestOf(
  prompt: string,
  options: Options,
  seed: string,
  models: ModelRegistry,
): Promise<GridRequest> {
  const { info } = modelNamed(models, undefined);
  const { defaults, id } = info;
  const { negative = defaults.negativePrompt, image, mask, strength } = options;
  // An image brings its own size.
  const width = options.width ?? (image === undefined ? defaults.width : undefined);
  const height = options.height ?? (image === undefined ? defaults.height : undefined);
  return {
    prompt,
    model: id,
    seed,
    steps: options.steps ?? defaults.steps,
    guidanceScale: options.guidance ?? kindDefaults(info, requestKind(options)).guidanceScale,
    scheduler: options.scheduler ?? defaults.scheduler,
    ...(width !== undefined && { width }),
    ...(height !== undefined && { height }),
    ...(negative !== undefined && { negativePrompt: negative }),
    ...(image !== undefined && { image: await imageIn(image) }),
    ...(mask !== undefined && { mask: await maskIn(mask) }),
    ...(strength !== undefined && { strength }),
  };
}

/** Any file that `koala generate` takes; every cell begins with the same bytes. */
async function imageIn(file: string): Promise<Source> {
  const { width, height } = (await decodeImage(file)).image;
  return { bytes: await readFile(file), width, height };
}

async function maskIn(file: string): Promise<Source> {
  const { width, height } = await decodeMask(file);
  return { bytes: await readFile(file), width, height };
}
