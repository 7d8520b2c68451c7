/** @file `koala generate`: generates images from prompts into files. */

import { Command, Option } from "commander";
import { schedulerFromConfig, schedulerNamed } from "../diffusion/schedulers/registry.js";
import { resolveSeed, seedAfter } from "../diffusion/seed.js";
import { InvalidRequest } from "../errors.js";
import { modelOrBundled } from "../hub/bundled-models.js";
import { tinyVaeName } from "../hub/resolve-component.js";
import { imagesPerPrompt } from "../pipeline/check-request.js";
import type { Embedding } from "../pipeline/embeddings.js";
import type { GeneratedImage } from "../pipeline/generated-image.js";
import type { Lora } from "../pipeline/lora.js";
import { readRequest, type SavedRequest } from "../pipeline/metadata/read.js";
import { requestDefaults } from "../pipeline/model-defaults.js";
import { DiffusionPipeline } from "../pipeline/pipeline.js";
import type { GenerateRequest } from "../pipeline/request.js";
import { requestKind } from "../pipeline/request-kind.js";
import { dim } from "./colors.js";
import { type DeviceFlags, deviceFlags, withDeviceOptions } from "./device.js";
import { embeddingOption } from "./embedding.js";
import {
  beginsWithAnother,
  differences,
  hasReplaced,
  openSeen,
  placeNotes,
  placeOf,
  rememberSources,
  sourcesOf,
} from "./from-image.js";
import { loraOption, lorasUsed } from "./lora.js";
import { checkRoom } from "./metadata-room.js";
import { downloadComponents, downloadModel } from "./models.js";
import { numberOption, seedOption, threadsOption } from "./numbers.js";
import { openOutput } from "./output-files.js";
import { gatherPrompts } from "./prompt-lines.js";
import { type PromptOptions, promptReading, withPromptOptions } from "./prompt-options.js";
import { type SafetyFlags, safetyLoad, withSafetyOptions } from "./safety.js";
import { openedSigner, type SigningFlags, withSigningOptions } from "./signing.js";
import { type SingleFileFlags, singleFileFlags, withSingleFileFlags } from "./single-file.js";
import { duration, ProgressBar, stopOnInterrupt, warnOnce } from "./terminal.js";

type Say = (line: string) => void;

export type Options = DeviceFlags &
  SingleFileFlags &
  PromptOptions &
  SafetyFlags &
  SigningFlags & {
    model?: string;
    from?: string;
    revision?: string;
    image?: string;
    mask?: string;
    strength?: number;
    denoisingStart?: number;
    variant?: string;
    vae?: string;
    unet?: string;
    textEncoder?: string;
    textEncoder2?: string;
    lora?: Required<Lora>[];
    embedding?: Embedding[];
    prompts?: string;
    negative?: string;
    steps?: number;
    guidance?: number;
    width?: number;
    height?: number;
    seed?: bigint;
    count: number;
    scheduler?: string;
    spacing?: string;
    clipSkip?: number;
    rng?: "cpu" | "cuda";
    threads?: number;
    output?: string;
    metadata: boolean;
    vaeTiling?: boolean | number;
    ignoreMemory?: boolean;
    json?: boolean;
    quiet?: boolean;
  };

export function generateCommand(): Command {
  const command = new Command("generate")
    .description("Generate images from prompts, with the bundled model or another.")
    .argument("[prompt...]", "what to generate; each quoted prompt is an image")
    .option("-m, --model <model>", "diffusers folder, single file or Hub id (default: the bundled model)")
    .option("--from <image>", "generate again what made this image")
    .option("--revision <name>", "branch, tag or commit of a Hub id")
    .option("--variant <name>", "weight files to take, such as fp16")
    .option("--vae <path>", "another autoencoder: folder, file, name on the Hub, or tiny")
    .option("--unet <path>", "another U-Net, as SDXL-Lightning ships: the same")
    .option("--text-encoder <path>", "another text encoder, SDXL's first: the same")
    .option("--text-encoder-2 <path>", "another second text encoder of SDXL: the same")
    .option("--lora <path[:scale]>", "add a LoRA: the same; may be given again", loraOption)
    .option(
      "--embedding <[name=]path>",
      "a textual inversion that prompts may name: the same; may be given again",
      embeddingOption,
    )
    .option("-p, --prompts <file>", "one prompt per line; - reads standard input")
    .option("-n, --negative <prompt>", "what not to generate")
    .option("-s, --steps <n>", "denoising steps", numberOption)
    .option("-g, --guidance <scale>", "how closely to follow the prompt", numberOption)
    .option("--image <file>", "begin with this image")
    .option("--mask <file>", "generate --image anew where this is white, or opaque")
    .option(
      "--strength <n>",
      "how far to leave --image, 0 to 1 (default: Diffusers' for the model)",
      numberOption,
    )
    .option(
      "--denoising-start <n>",
      "take --image as generated so far, 0 to 1: no noise is added",
      numberOption,
    )
    .option("-W, --width <pixels>", "multiple of 8; of --image, down to one", numberOption)
    .option("-H, --height <pixels>", "the same", numberOption)
    .option("--seed <n>", "image i has seed + i; -1, the default, draws one", seedOption)
    .option("-c, --count <n>", "images per prompt", numberOption, 1)
    .option("--scheduler <name>", 'such as dpmpp-2m-karras; "?" lists all')
    .addOption(new Option("--spacing <rule>", "timesteps").choices(["trailing", "leading", "linspace"]))
    .option("--clip-skip <n>", "text encoder layers to leave out", numberOption)
    .addOption(new Option("--rng <kind>", "noise of PyTorch on").choices(["cpu", "cuda"]))
    .option("--threads <n>", "default: one per core", threadsOption);
  return withSigningOptions(
    withSafetyOptions(withPromptOptions(withDeviceOptions(withSingleFileFlags(command)))),
  )
    .option("-o, --output <path>", "folder, made if need be, or .png, .jpg, .webp file")
    .option("--no-metadata", "leave out what it was generated from")
    .option(
      "--vae-tiling [pixels]",
      "decode in tiles: less memory, not quite the same image (default: where it would not fit)",
      numberOption,
    )
    .option("--no-vae-tiling", "never decode in tiles")
    .option("--ignore-memory", "generate though it may not fit")
    .option("--json", "print a JSON object per image")
    .option("-q, --quiet", "no progress, no notes")
    .addHelpText(
      "after",
      '\nExamples:\n  koala generate "a red apple, flat icon"\n' +
        '  koala generate -m ./koala-lightning-1b "a red bicycle" --seed 7 -o bicycle.png\n',
    )
    .action(generate);
}

const print = (line: string) => void process.stdout.write(`${line}\n`);

async function generate(words: string[], given: Options): Promise<void> {
  imagesPerPrompt(given.count);
  const say = (line: string) => void (given.quiet || process.stderr.write(`${line}\n`));
  const saved = given.from === undefined ? undefined : await readRequest(given.from);
  for (const note of saved?.notes ?? []) say(dim(note));
  const prompts = await gatherPrompts(words, given.prompts, saved?.request.prompt);
  const output = await openOutput(given, prompts.length * given.count);
  const signer = await openedSigner(given, output.file(0, 0n));
  const wanted = { ...(saved?.request.safety && { safety: saved.request.safety }), ...given };
  const completed: Options = saved ? { ...wanted, ...(await sourcesOf(saved, given, say)) } : wanted;
  const options: Options = {
    ...completed,
    ...(await downloadComponents(completed, { quiet: given.quiet === true })),
  };
  const place = { ...deviceFlags(given), ...(saved && (await placeOf(saved, given, say))) };
  const { pipeline, folder } = await opened({ ...options, ...place }, given, saved, say);
  const { signal, done } = stopOnInterrupt(say);
  const progress = new ProgressBar({ quiet: options.quiet === true });
  try {
    for (const note of placeNotes(pipeline, place, saved)) say(dim(note));
    const source = saved?.exact ? "the image" : pipeline.components.defaults.source;
    const reworded = words.length > 0 || given.prompts !== undefined;
    const resized = saved !== undefined && (await beginsWithAnother(saved, given));
    const before = saved ? savedRequest(saved, options, { reworded, resized }) : {};
    const reading = await promptReading(options, saved?.exact ? before : undefined);
    setScheduler(pipeline, options, saved);
    const chosen = settings(pipeline, options, { ...before, ...reading }, saved?.exact === true);
    say(dim(`${chosen.summary} (${chosen.given ? "as given, else " : ""}from ${source})`));
    const seed = resolveSeed(options.seed ?? saved?.request.seed);
    if (options.metadata) checkRoom(output.file(0, seed), prompts, chosen.request);
    say(`seed ${seed}`);
    for (const [i, prompt] of prompts.entries()) {
      const first = seedAfter(seed, i * options.count);
      const request = { ...chosen.request, prompt, seed: first, numImagesPerPrompt: options.count, signal };
      const started = performance.now();
      const images = await generateShown(pipeline, request, progress);
      const seconds = (performance.now() - started) / 1000;
      const numbered = { index: i * options.count, seed: first, metadata: options.metadata, ...signer };
      const { files, failure } = await output.save(images, numbered);
      const { device, dtype, weights } = pipeline;
      const record = { prompt, first, ...chosen.record, device, dtype, weights };
      if (options.json) printRecords(images, files, record, seconds / images.length);
      else files.forEach(print);
      const { metadata } = images[0]!;
      // Those of the prompt are among them.
      const lora = pipeline.components.loras.map(({ file, scale = 1 }) => ({ file, scale }));
      const vae = options.vae === tinyVaeName ? pipeline.components.tinyVae : options.vae;
      const sources = { ...options, lora, ...(vae !== undefined && { vae }) };
      const failed =
        metadata && options.metadata ? await rememberSources(metadata, folder, sources) : undefined;
      if (failed)
        say(dim(`--from will ask for --model: where models are cannot be noted: ${failed.message}`));
      say(dim(`generated in ${duration(seconds)}`));
      if (failure) throw failure;
    }
  } finally {
    progress.stop();
    done();
    await pipeline.close();
  }
}

/** Prints a line of JSON for each image; `first` is the seed of the first one. */
function printRecords(
  images: readonly GeneratedImage[],
  files: readonly string[],
  { prompt, first, ...settings }: { prompt: string; first: bigint },
  seconds: number,
): void {
  for (const [i, { width, height, warnings, metadata }] of images.entries()) {
    const image = {
      path: files[i]!,
      prompt: metadata?.prompt ?? prompt,
      seed: String(seedAfter(first, i)),
      width,
      height,
    };
    print(JSON.stringify({ ...image, ...settings, warnings, seconds }));
  }
}

/** The model that is given, or the image's where it was seen. */
export async function opened(options: Options, given: Options, saved: SavedRequest | undefined, say: Say) {
  const load = { ...loadOptions(options), ...deviceFlags(options) };
  if (options.model === undefined) {
    if (given.revision !== undefined) {
      const rule = "is of a model on the Hub, got it without --model. Name the model, or leave it out.";
      throw new InvalidRequest("--revision", given.revision, rule);
    }
    if (saved) return openSeen(saved, { ...load, replaced: hasReplaced(given) });
  }
  const folder = await downloadModel(modelOrBundled(options.model), hubOptions(options));
  const pipeline = await DiffusionPipeline.fromPretrained(folder, load);
  const other = saved ? differences(saved, await pipeline.model()) : [];
  if (other.length > 0) say(`not what the image was generated with: ${other.join(", ")}`);
  return { pipeline, folder };
}

const hubOptions = ({ quiet, revision, variant, ...options }: Options) => ({
  quiet: quiet === true,
  safetyChecker: safetyLoad(options).safetyChecker === undefined,
  ...(revision !== undefined && { revision }),
  ...(variant !== undefined && { variant }),
});

const loadOptions = ({
  variant,
  vae,
  unet,
  textEncoder,
  textEncoder2,
  lora,
  loraFolder,
  embedding,
  threads,
  ...file
}: Options) => ({
  ...singleFileFlags(file),
  ...safetyLoad(file),
  ...(loraFolder !== undefined && { loraFolder }),
  ...(threads !== undefined && { threads }),
  ...(variant !== undefined && { variant }),
  ...(vae !== undefined && { vae }),
  ...(unet !== undefined && { unet }),
  ...(textEncoder !== undefined && { textEncoder }),
  ...(textEncoder2 !== undefined && { textEncoder2 }),
  ...(lora !== undefined && { loras: lora }),
  ...(embedding !== undefined && { embeddings: embedding }),
});

/** The options, else the request in the image, else the model's defaults. */
export function settings(
  pipeline: DiffusionPipeline,
  options: Options,
  before: Omit<Partial<GenerateRequest>, "prompt" | "seed">,
  isExact: boolean,
) {
  const kind = requestKind({ image: options.image ?? before.image, mask: options.mask ?? before.mask });
  const defaults = requestDefaults(pipeline.components, kind);
  const steps = options.steps ?? before.numInferenceSteps ?? defaults.numInferenceSteps;
  const guidance = options.guidance ?? before.guidanceScale ?? defaults.guidanceScale;
  const { width = before.width, height = before.height } = options;
  const negative =
    options.negative ?? before.negativePrompt ?? (isExact ? undefined : defaults.negativePrompt);
  const rng = options.rng ?? before.rng;
  const { className, config } = pipeline.scheduler;
  const rule = config.timestepSpacing;
  const request: Omit<GenerateRequest, "prompt"> = {
    ...before,
    numInferenceSteps: steps,
    guidanceScale: guidance,
    ...(width !== undefined && { width }),
    ...(height !== undefined && { height }),
    ...(negative !== undefined && { negativePrompt: negative }),
    ...(rng !== undefined && { rng }),
    ...(options.image !== undefined && { image: options.image }),
    ...(options.mask !== undefined && { mask: options.mask }),
    ...(options.strength !== undefined && { strength: options.strength }),
    ...(options.denoisingStart !== undefined && { denoisingStart: options.denoisingStart }),
    ...(options.vaeTiling !== undefined && { vaeTiling: options.vaeTiling }),
    ...(options.safety !== undefined && { safety: options.safety }),
    ...(options.ignoreMemory && { ignoreMemory: true }),
    ...(options.clipSkip !== undefined && { clipSkip: options.clipSkip }),
    onWarning: warnOnce(),
    onNotice: (message) => void (options.quiet || process.stderr.write(`${dim(message)}\n`)),
  };
  const given = [options.steps, options.guidance, options.strength, options.scheduler, options.spacing].some(
    (v) => v !== undefined,
  );
  const strength = options.strength ?? before.strength ?? defaults.strength;
  const share = kind === "textToImage" ? "" : `, strength ${strength}`;
  const summary = `${steps} steps, guidance ${guidance}${share}, ${className.replace("Scheduler", "")}${rule ? ` (${rule})` : ""}`;
  return {
    request,
    given,
    summary,
    record: {
      steps,
      guidance,
      scheduler: className,
      spacing: rule,
      negative,
      ...(options.lora && { loras: lorasUsed(options.lora) }),
    },
  };
}

/** Of an image that another program generated, only what differs from the model's own scheduler is known. */
export function setScheduler(pipeline: DiffusionPipeline, options: Options, saved?: SavedRequest) {
  const choice = options.scheduler === undefined ? undefined : schedulerNamed(options.scheduler);
  const spacing = options.spacing === undefined ? {} : { timestep_spacing: options.spacing };
  const own =
    saved?.exact && saved.scheduler
      ? schedulerFromConfig({}, saved.scheduler.config, saved.scheduler.className)
      : pipeline.scheduler;
  const differing = saved?.exact || choice ? undefined : saved?.scheduler;
  pipeline.scheduler = schedulerFromConfig(
    own.config,
    { ...differing?.config, ...choice?.overrides, ...spacing },
    choice?.className ?? differing?.className ?? own.className,
  );
}

/** The image's request without what the options make meaningless. */
export function savedRequest(
  { request }: SavedRequest,
  options: Options,
  { reworded, resized }: { reworded: boolean; resized: boolean },
): Omit<Partial<GenerateRequest>, "prompt" | "seed"> {
  const { prompt: _, seed: __, ...rest } = request;
  const dropped: (keyof GenerateRequest)[] = [
    ...(reworded ? (["prompt2", "promptTemplate"] as const) : []),
    ...(resized ? (["width", "height"] as const) : []),
    ...(options.strength === undefined ? [] : (["denoisingStart"] as const)),
    ...(options.steps === undefined ? [] : (["timesteps", "sigmas"] as const)),
    ...(options.negative === undefined ? [] : (["negativePrompt2", "negativePromptTemplate"] as const)),
  ];
  return Object.fromEntries(
    Object.entries(rest).filter(([name]) => !dropped.includes(name as keyof GenerateRequest)),
  );
}

async function generateShown(pipeline: DiffusionPipeline, request: GenerateRequest, progress: ProgressBar) {
  const run = pipeline.stream(request);
  let [next, started] = [await run.next(), performance.now()];
  let begun = false;
  while (!next.done) {
    const { index, total } = next.value;
    if (!begun) progress.start("generating", total);
    else progress.step(index + 1, ((performance.now() - started) / 1000 / index) * (total - index - 1));
    if (!begun) started = performance.now();
    begun = true;
    next = await run.next();
  }
  progress.stop();
  return next.value.images;
}
