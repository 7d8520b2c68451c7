/** @file `koala train`: trains or fine-tunes a U-Net, with or without its text encoders, or an `AutoencoderTiny`. */

import path from "node:path";
import { Command } from "commander";
import { blockingEngine } from "../engine/ort/blocking-engine.js";
import { Cancelled } from "../errors.js";
import { kindOf, readJson } from "../files/file-system.js";
import { tinyVaeConfig } from "../models/tiny-vae.js";
import { unetConfig } from "../models/unet-config.js";
import { loadComponents } from "../pipeline/components.js";
import { autoencoderTask, checkAutoencoderOutput, loadImages } from "../train/autoencoder-task.js";
import { openCache } from "../train/cache/cache.js";
import { type DataOptions, openData, type SkippedExample } from "../train/data/source.js";
import { checkBatches } from "../train/distillation-task.js";
import { checkExport, exportModel } from "../train/export.js";
import { componentWeights, finetuningTask, textEncoderName } from "../train/finetuning-task.js";
import { schedulerFields, trainingNoise } from "../train/noise.js";
import { type TrainingOptions, trainingOptions } from "../train/options.js";
import { generateSamples } from "../train/samples.js";
import { train as run, type TrainingTask } from "../train/trainer.js";
import { resolveWeights } from "../weights/component.js";
import { numberOption } from "./numbers.js";
import { ProgressBar, stopOnInterrupt } from "./terminal.js";
import { addTrainingOptions, dataOptions, type TrainingFlags, trainingRequest } from "./training-options.js";
import { checkFolders, fillCache, finish, needed, saySkipped, watcher } from "./training-run.js";

type Flags = TrainingFlags & {
  model?: string;
  unet?: string;
  textEncoders?: boolean;
  fromScratch?: boolean;
  autoencoder?: string;
  data?: string;
  output?: string;
};

export function trainCommand(): Command {
  const command = new Command("train")
    .description("Train or fine-tune a U-Net by the task loss, or an AutoencoderTiny by its images.")
    .option(
      "-m, --model <folder>",
      "diffusers folder to begin with: its parts, and its weights unless --from-scratch",
    )
    .option(
      "--unet <config.json>",
      "train a U-Net of this shape, from random weights, in place of the model's",
    )
    .option("--text-encoders", "train the text encoders as well")
    .option("--from-scratch", "begin what is trained with random weights")
    .option(
      "--autoencoder <config.json>",
      "train an AutoencoderTiny of this shape, and nothing else; a folder: go on with its weights",
    )
    .option("--latent-moments <weight>", "autoencoder: draw its latents to mean 0, variance 1", numberOption)
    .option(
      "--latent-noise <sigma>",
      "autoencoder: decode latents with noise of this deviation",
      numberOption,
    )
    .option("--decoder-only", "autoencoder: leave the encoder, and so its latents, as they are")
    .option("-d, --data <path>", "folder of images with captions, WebDataset .tar, or .parquet")
    .option("-o, --output <folder>", "becomes a complete diffusers folder, and holds the run");
  return addTrainingOptions(command)
    .addHelpText(
      "after",
      "\nExample:\n  koala train -m ./sdxl-small --text-encoders -d ./images -o ./mine -s 10000 --lr 1e-4\n",
    )
    .action(train);
}

type Running = {
  options: TrainingOptions;
  data: string;
  dataOptions: DataOptions;
  output: string;
  cacheFolder: string;
  signal: AbortSignal;
  progress: ProgressBar;
  say: (line: string) => void;
};

async function train(flags: Flags): Promise<void> {
  const options = trainingOptions({
    ...trainingRequest(flags),
    feature: "none",
    loss: { task: 1, out: 0, feat: 0 },
  });
  const output = needed("output", flags.output, "--output FOLDER");
  const data = needed("data", flags.data, "--data PATH");
  const cacheFolder = flags.cache ?? path.join(output, "cache");
  await checkFolders(output, flags.autoencoder === undefined ? cacheFolder : undefined);
  const say = (line: string) => void (flags.quiet || process.stderr.write(`${line}\n`));
  const { signal, done } = stopOnInterrupt(say);
  const progress = new ProgressBar({ quiet: flags.quiet === true });
  const folders = { output, cacheFolder };
  const running = { options, data, dataOptions: dataOptions(flags), ...folders, signal, progress, say };
  const engine = blockingEngine({ threads: options.threads });
  try {
    const job =
      flags.autoencoder === undefined
        ? await unetJob(flags, running, engine)
        : await vaeJob(flags.autoencoder, flags, running, engine);
    const { resume = false } = flags;
    const finished = await run(job, {
      folder: output,
      options,
      resume,
      signal,
      say,
      onStep: watcher(progress, flags),
    });
    progress.stop();
    finish(finished, output);
  } finally {
    progress.stop();
    done();
  }
}

type Engine = ReturnType<typeof blockingEngine>;

async function vaeJob(
  file: string,
  flags: Flags,
  { options, data, dataOptions, output, say }: Running,
  engine: Engine,
): Promise<TrainingTask> {
  const folder = (await kindOf(file)) === "folder";
  const json = await readJson(folder ? path.join(file, "config.json") : file);
  const config = tinyVaeConfig(json, file);
  await checkAutoencoderOutput(output);
  const weights = folder && !flags.fromScratch ? { weights: await resolveWeights(file) } : {};
  const skipped: SkippedExample[] = [];
  const images = await loadImages(await openData(data, dataOptions), options, (one) => skipped.push(one));
  saySkipped(skipped, say);
  const description = { command: "train", autoencoder: path.basename(file), data: path.basename(data) };
  return autoencoderTask({ engine, options, config, json, ...weights, images, output, description });
}

async function unetJob(flags: Flags, running: Running, engine: Engine): Promise<TrainingTask> {
  const { options, data, output, cacheFolder, signal } = running;
  const model = needed("model", flags.model, "--model FOLDER, whose other parts the result takes over");
  const unetJson = await readJson(flags.unet ?? path.join(model, "unet", "config.json"));
  const components = await loadComponents(model, { engine });
  const names = flags.textEncoders ? components.textEncoders.map((_, i) => textEncoderName(i)) : [];
  const plan = { teacher: model, unetConfig: unetJson, scheduler: schedulerFields(options), output };
  await checkExport(plan, new Set(names));
  await fillCache({ ...running, components });
  if (signal.aborted) throw new Cancelled("the training");
  const cache = await openCache(cacheFolder);
  checkBatches(cache, options.trainBatchSize);

  const begun = <T>(weights: T) => (flags.fromScratch ? undefined : weights);
  const encoders = flags.textEncoders
    ? components.textEncoders.map((e) => ({ ...e, weights: begun(e.part.weights) }))
    : [];
  const job: TrainingTask = finetuningTask({
    engine,
    options,
    unet: {
      config: unetConfig(unetJson, flags.unet ?? "unet/config.json"),
      weights: flags.unet ? undefined : begun(components.unet.part.weights),
    },
    encoders,
    schedule: trainingNoise(components.scheduler.config, {
      ...(options.predictionType !== null && { target: options.predictionType }),
      rescaleBetasZeroSnr: options.rescaleBetasZeroSnr,
    }),
    cache,
    description: {
      command: "train",
      model: path.basename(model),
      data: path.basename(data),
      textEncoders: encoders.length > 0,
    },
    save: (flat) =>
      exportModel({
        ...plan,
        weights: componentWeights(job.layout, flat, "unet"),
        textEncoders: new Map(names.map((name) => [name, componentWeights(job.layout, flat, name)])),
      }),
    generateSamples: (step) => generateSamples(output, step, options.validationPrompts, engine),
  });
  return job;
}
