/** @file `koala train`: trains or fine-tunes a U-Net, with or without its text encoders, or an `AutoencoderTiny`. */

import { Command } from "commander";
import { InvalidRequest } from "../errors.js";
import type { TrainingResult } from "../train/events.js";
import { type FinetuneOptions, finetune } from "../train/finetune.js";
import { type TrainAutoencoderOptions, trainAutoencoder } from "../train/train-autoencoder.js";
import { numberOption } from "./numbers.js";
import {
  addTrainingOptions,
  runOptions,
  type TrainingFlags,
  trainingRequest,
  withShortHelp,
} from "./training-options.js";
import { printResult, required, withProgress } from "./training-run.js";

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
      "diffusers folder to begin with: its components, and its weights unless --from-scratch",
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
  return withShortHelp(addTrainingOptions(command))
    .addHelpText(
      "after",
      "\nExample:\n  koala train -m ./sdxl-small --text-encoders -d ./images -o ./mine -s 10000 --lr 1e-4\n",
    )
    .action(run);
}

async function run(flags: Flags): Promise<void> {
  const output = required("output", flags.output, "--output FOLDER");
  const data = required("data", flags.data, "--data PATH");
  const { fromScratch = false, resume = false, autoencoder } = flags;
  const options = { ...trainingRequest(flags), ...runOptions(flags), data, output, fromScratch, resume };
  let training: (progress: Pick<FinetuneOptions, "signal" | "onEvent">) => Promise<TrainingResult>;
  if (autoencoder === undefined) {
    const { unet, textEncoders = false } = flags;
    const rule = "--model FOLDER, whose other components the result takes over";
    const model = required("model", flags.model, rule);
    const networks = { model, textEncoders, ...(unet !== undefined && { unet }) };
    training = (progress) => finetune({ ...options, ...networks, ...progress });
  } else {
    refuseUnetFlags(flags);
    training = (progress) =>
      trainAutoencoder({ ...(options as TrainAutoencoderOptions), autoencoder, ...progress });
  }
  printResult(await withProgress(flags, training), output, flags);
}

/** Flags that mean nothing where an autoencoder alone is trained. */
function refuseUnetFlags(flags: Flags): void {
  for (const name of ["model", "unet", "textEncoders", "cache"] as const) {
    if (flags[name] === undefined) continue;
    const rule = `has no effect with --autoencoder, got ${JSON.stringify(flags[name])}. Leave one of them out.`;
    throw new InvalidRequest(name, flags[name], rule);
  }
}
